"""Requests that privacy platforms send by webhook: verify, normalise, file."""
