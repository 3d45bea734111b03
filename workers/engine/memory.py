"""Splitting work until it fits: out-of-memory halves the micro-batch, at most three times."""

import resource
import sys
from collections.abc import Callable
from typing import TypeVar

import torch

from workers.engine.failures import is_out_of_memory

T = TypeVar("T")

MAX_HALVINGS = 3
# Instances in one forward and backward pass; a batch is split into these without changing its sum.
CPU_MICRO_BATCH = 256
CUDA_MICRO_BATCH = 16


class MicroBatch:
    """How many instances pass through the model at once; shrinks for good when memory runs out."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.halvings = 0

    def attempt(self, work: Callable[[int], T]) -> T:
        """Runs `work(size)`, again with half the size when memory runs out.

        `work` must start over cleanly: it is called anew after each failure.

        Raises:
            torch.OutOfMemoryError, RuntimeError, MemoryError: it does not fit after three halvings, or with one
                instance.
        """
        while True:
            try:
                return work(self.size)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self.halvings == MAX_HALVINGS or self.size == 1:
                    raise
            # Outside the except block: the traceback would keep the failed pass's tensors alive.
            self.halvings += 1
            self.size = max(1, self.size // 2)
            torch.cuda.empty_cache()


def default_micro_batch(device: torch.device) -> int:
    return CUDA_MICRO_BATCH if device.type == "cuda" else CPU_MICRO_BATCH


def reset_peak(device: torch.device) -> None:
    """Starts a new measurement of peak memory. The CPU's peak is the whole process's and cannot be reset."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int:
    """Peak memory since `reset_peak`: bytes allocated on a GPU, or the process's resident set on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
