"""Types, rules and errors shared by every process. Standard library and pydantic only."""
