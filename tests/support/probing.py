"""Probes of adapters whose answers a test can compute."""

from collections.abc import Callable, Sequence
from pathlib import Path

from service.domain.probes import Expected, Probe, ProbePrompt

Reference = Callable[[Sequence[int], Path | None], Sequence[float]]
"""Log-probabilities by token id after a prompt, by the adapter in a directory or by the base model."""

NAMED = 5


def probe_of(
    reference: Reference, prompts: Sequence[Sequence[int]], directory: Path, previous: Path | None = None
) -> Probe:
    """What a worker would have measured."""
    return Probe(
        previous=None if previous is None else "previous",
        prompts=tuple(_prompt(reference, prompt, directory, previous) for prompt in prompts),
    )


def _prompt(reference: Reference, prompt: Sequence[int], directory: Path, previous: Path | None) -> ProbePrompt:
    own, base = reference(prompt, directory), reference(prompt, None)
    before = None if previous is None else reference(prompt, previous)
    likeliest = sorted(range(len(own)), key=lambda token: -own[token])[:NAMED]
    return ProbePrompt(
        token_ids=tuple(prompt),
        expected=tuple(
            Expected(
                token_id=token,
                version=float(own[token]),
                base=float(base[token]),
                previous=None if before is None else float(before[token]),
            )
            for token in likeliest
        ),
    )
