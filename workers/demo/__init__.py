"""The demonstration: a generated world, a small base model, and the main job on real parts."""
