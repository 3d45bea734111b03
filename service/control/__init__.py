"""The background loops: outbox relay, reconciler, and mirrors of the lines in other registries."""
