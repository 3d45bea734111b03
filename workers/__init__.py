"""The GPU side of Lethe: the supervisor (no torch), the engine child, the engine."""
