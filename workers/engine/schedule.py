"""Which slots a training run visits when, and at what learning rate: pure functions of the recipe.

Slots, not instances, are shuffled. A retrain without some instances therefore sees every other
instance in the same batch, at the same step, with the same learning rate.
"""

import hashlib
import math

import torch

from service.domain.adapters import Recipe


def steps_per_epoch(recipe: Recipe, slot_count: int) -> int:
    return math.ceil(slot_count / recipe.batch_size)


def epoch_batches(recipe: Recipe, slot_count: int, epoch: int) -> list[list[int]]:
    """The slots of one epoch, shuffled by (seed, epoch) and cut into batches; the last may be smaller."""
    generator = torch.Generator().manual_seed(derived_seed(recipe.seed, "order", epoch))
    order = torch.randperm(slot_count, generator=generator)
    return [batch.tolist() for batch in torch.split(order, recipe.batch_size)]


def learning_rate(recipe: Recipe, step: int, total: int) -> float:
    """The rate of a step counted from 0: linear warm-up, then the schedule from its peak towards 0."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, total - recipe.warmup_steps)
    if recipe.schedule == "linear":
        return recipe.learning_rate * (1 - done)
    if recipe.schedule == "cosine":
        return recipe.learning_rate * (1 + math.cos(math.pi * done)) / 2
    return recipe.learning_rate


def order_digest(recipe: Recipe, slot_count: int) -> str:
    """SHA-256, hex, of the order of slots over the whole run."""
    sha = hashlib.sha256()
    for epoch in range(recipe.epochs):
        sha.update(repr(epoch_batches(recipe, slot_count, epoch)).encode())
    return sha.hexdigest()


def derived_seed(seed: int, purpose: str, index: int) -> int:
    """An independent 63-bit seed for one purpose, so that no draw depends on how many were made before it."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()[:8], "big") >> 1
