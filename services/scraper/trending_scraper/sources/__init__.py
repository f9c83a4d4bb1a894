"""The sources we can ask: one adapter a file, and the contract they keep."""
