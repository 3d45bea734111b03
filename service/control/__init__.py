"""The background loops: outbox relay and reconciler."""
