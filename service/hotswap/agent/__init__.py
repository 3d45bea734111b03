"""Beside an inference server: follows the feed and keeps the server on the versions that aliases point at."""
