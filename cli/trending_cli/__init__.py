"""The `trending` command: starts the house, feeds it, and looks into all that it keeps."""
