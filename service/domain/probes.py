"""Telling by its answers which adapter a server really uses.

A status of 200 proves nothing: servers answer from the base model, or with the old weights, without saying so. So each
version comes with a *probe*: token sequences without any meaning, and the log-probabilities that the worker measured
after them with this version, with the bare base model, and with the version before it. They are random because texts
of the data could name people, and because no adapter leaves them alone.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from pydantic import Field

from service.domain.frozen import Frozen

# How far, on average, rounding alone moves a log-probability (nats), by the precision a server computes in.
TOLERANCE = {"float32": 0.005, "float16": 0.02, "bfloat16": 0.08}


class Expected(Frozen):
    """One token's log-probability (nats) after a prompt. `previous` is None for a line's first version."""

    token_id: int = Field(ge=0)
    version: float
    base: float
    previous: float | None = None


class ProbePrompt(Frozen):
    """A prompt as token ids, and the tokens that the version finds likeliest after it, likeliest first."""

    token_ids: tuple[int, ...] = Field(min_length=1)
    expected: tuple[Expected, ...] = Field(min_length=1)


class Probe(Frozen):
    """What a server with this version must answer. `previous` names the version it replaces: `support-bot@v2`."""

    prompts: tuple[ProbePrompt, ...] = Field(min_length=1)
    previous: str | None = None


class ProbeOutcome(StrEnum):
    """`indistinct`: the answers fit, but would fit the base model or the previous version as well."""

    proven = "proven"
    base = "base"
    previous = "previous"
    indistinct = "indistinct"
    unrecognised = "unrecognised"


Measured = Sequence[Mapping[int, float]]
"""A server's log-probabilities by token id, one mapping a prompt."""


def judge(probe: Probe, measured: Measured, tolerance: float) -> ProbeOutcome:
    """Whose answers these are.

    Args:
        tolerance: mean absolute difference (nats) up to which answers count as the same.

    Raises:
        ValueError: there is not one answer a prompt.
    """
    distances = distances_from(probe, measured)
    same = {who for who, distance in distances.items() if distance <= tolerance}
    if not same:
        return ProbeOutcome.unrecognised
    if same == {"version"}:
        return ProbeOutcome.proven
    return ProbeOutcome.indistinct if "version" in same else ProbeOutcome(min(same, key=distances.__getitem__))


def distances_from(probe: Probe, measured: Measured) -> dict[str, float]:
    """Mean absolute difference (nats) of the answers from those of `version`, `base` and, if any, `previous`.

    Servers name their likeliest tokens only. One that they do not name is at most as likely as the least likely named.
    """
    pairs = [
        (expected, answer.get(expected.token_id, min(answer.values())))
        for prompt, answer in zip(probe.prompts, measured, strict=True)
        for expected in prompt.expected
    ]
    told = {
        "version": [abs(value - expected.version) for expected, value in pairs],
        "base": [abs(value - expected.base) for expected, value in pairs],
        "previous": [abs(value - expected.previous) for expected, value in pairs if expected.previous is not None],
    }
    return {who: sum(gaps) / len(gaps) for who, gaps in told.items() if gaps}
