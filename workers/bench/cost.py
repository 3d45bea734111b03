"""What a method costs, counted where the work happens: at the model."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

# A backward pass through frozen weights costs about two forward passes of the adapter's model.
FORWARD, BACKWARD = 1 / 3, 2 / 3


@dataclass(slots=True)
class Cost:
    """Gradients of one instance (a forward pass alone is a third of one), and wall time in seconds."""

    instance_gradients: float = 0.0
    seconds: float = 0.0


_offline: ContextVar[list[float] | None] = ContextVar("offline", default=None)
"""Seconds spent offline so far, within `metered`; its second entry is 1 while offline work runs."""


@contextmanager
def offline() -> Iterator[None]:
    """Work that a deployment has done before any request arrives: neither passes nor time are counted."""
    spent = _offline.get()
    started = time.perf_counter()
    if spent is not None:
        spent[1] = 1.0
    try:
        yield
    finally:
        if spent is not None:
            spent[0] += time.perf_counter() - started
            spent[1] = 0.0


@contextmanager
def metered(model: nn.Module) -> Iterator[Cost]:
    """Counts every pass of an instance through the model. A Hessian product counts each of its backward passes."""
    cost = Cost()
    spent = [0.0, 0.0]
    token = _offline.set(spent)

    def forward_hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        logits: Tensor = output.logits
        rows = 0 if spent[1] else len(logits)
        cost.instance_gradients += FORWARD * rows

        def backward_hook(gradient: Tensor) -> None:
            cost.instance_gradients += BACKWARD * rows

        if logits.requires_grad:
            logits.register_hook(backward_hook)  # type: ignore[no-untyped-call]

    handle = model.register_forward_hook(forward_hook)
    started = time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - started - spent[0]
        _offline.reset(token)
        handle.remove()
