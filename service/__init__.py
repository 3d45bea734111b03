"""The torch-free side of Lethe: API, request life cycle, store, evidence and background loops."""
