"""Which adapter answered: the version, the base model, the version before it, or none of them."""

import pytest

from service.domain.probes import Expected, Probe, ProbeOutcome, ProbePrompt, distances_from, judge

PROBE = Probe(
    previous="support-bot@v2",
    prompts=(
        ProbePrompt(token_ids=(5, 9), expected=(Expected(token_id=1, version=-0.5, base=-2.0, previous=-0.7),)),
        ProbePrompt(token_ids=(7, 3), expected=(Expected(token_id=4, version=-1.0, base=-3.0, previous=-1.4),)),
    ),
)


def answers(first: float, second: float) -> list[dict[int, float]]:
    return [{1: first, 2: -6.0}, {4: second, 8: -6.0}]


@pytest.mark.parametrize(
    ("measured", "outcome"),
    [
        (answers(-0.5, -1.0), ProbeOutcome.proven),
        (answers(-0.52, -0.98), ProbeOutcome.proven),
        (answers(-2.0, -3.0), ProbeOutcome.base),
        (answers(-0.7, -1.4), ProbeOutcome.previous),
        (answers(-0.5, -3.0), ProbeOutcome.unrecognised),
    ],
)
def test_says_whose_answers_they_are(measured: list[dict[int, float]], outcome: ProbeOutcome) -> None:
    assert judge(PROBE, measured, tolerance=0.05) is outcome


def test_answers_that_fit_two_adapters_prove_neither() -> None:
    assert judge(PROBE, answers(-0.6, -1.2), tolerance=0.2) is ProbeOutcome.indistinct


def test_an_unnamed_token_counts_as_the_least_likely_named_one() -> None:
    measured = [{2: -0.1, 3: -4.5}, {4: -1.0}]

    assert distances_from(PROBE, measured)["version"] == pytest.approx((4.0 + 0.0) / 2)


def test_a_first_version_replaces_none() -> None:
    first = Probe(prompts=(ProbePrompt(token_ids=(5,), expected=(Expected(token_id=1, version=-0.5, base=-2.0),)),))

    assert set(distances_from(first, [{1: -0.5}])) == {"version", "base"}


def test_there_must_be_an_answer_to_every_prompt() -> None:
    with pytest.raises(ValueError, match="shorter"):
        judge(PROBE, answers(-0.5, -1.0)[:1], tolerance=0.05)
