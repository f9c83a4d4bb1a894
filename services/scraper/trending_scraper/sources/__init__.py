"""The sites we know: one adapter a file, and the contract they keep."""
