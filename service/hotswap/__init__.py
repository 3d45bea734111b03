"""How versions reach inference servers: pushed, pulled, or resolved by name."""
