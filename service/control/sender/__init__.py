"""Sends webhooks, in a process of its own: it alone speaks to hosts that callers name."""
