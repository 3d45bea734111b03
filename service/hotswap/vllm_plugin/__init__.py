"""A LoRA resolver for vLLM: `support-bot@v3` as a model's name is fetched from Lethe, verified, and served.

A package of its own (`lethe-vllm`), to be installed beside vLLM: it imports neither `service` nor torch.
"""
