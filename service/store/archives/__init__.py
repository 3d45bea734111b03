"""Archives of adapters: those we make for download, and those we are sent."""
