"""Measurements. Each module is a command that prints what it measured and ends by itself."""
