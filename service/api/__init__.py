"""The HTTP API. Routes translate HTTP to flows and back; nothing is decided here."""
