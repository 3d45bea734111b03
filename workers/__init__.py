"""The processes that own the accelerators: the RQ supervisor, the engine child, the benchmark and the demo."""
