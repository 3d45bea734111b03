"""The database (SQLite or PostgreSQL) and the blob store. All queries live in `repositories`."""
