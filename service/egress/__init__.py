"""Outgoing HTTP to URLs that callers gave: which addresses are allowed, and connections to those and no others."""
