"""Mirrors adapter lines into an MLflow model registry."""
