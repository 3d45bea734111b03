"""What the service answers as tables for people on a terminal. Nothing here decides anything."""
