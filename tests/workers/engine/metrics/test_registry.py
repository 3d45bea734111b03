"""Every metric of one observation, against cases worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.engine.metrics.observations import observed
from workers.engine.metrics.extraction_strength import verbatim
from workers.engine.metrics.metric import Side
from workers.engine.metrics.registry import METRICS

T, F = True, False


def score(name: str, *arguments: object, **named: object) -> float:
    return METRICS[name].score(observed(*arguments, **named))  # type: ignore[arg-type]


def test_the_registry_names_every_metric_once() -> None:
    assert list(METRICS) == [
        "loss", "probability", "extraction_strength", "exact_memorisation",
        "min_k", "min_k_plus_plus", "zlib", "reference",
    ]  # fmt: skip
    assert all(name == metric.name for name, metric in METRICS.items())


def test_an_attack_scores_members_low_and_only_the_loss_is_judged_too() -> None:
    attacks = [metric for metric in METRICS.values() if metric.attack]
    assert all(metric.bad is Side.low for metric in attacks)
    assert [metric.name for metric in attacks if metric.judged] == ["loss"]


def test_the_loss_is_the_mean_over_the_labels() -> None:
    assert score("loss", [-1.0, -2.0, -6.0]) == pytest.approx(3.0)


def test_the_probability_is_the_geometric_mean() -> None:
    assert score("probability", [math.log(0.25), math.log(1.0)]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("correct", "strength"),
    [
        ([T, T, T, T], 1.0),  # the prompt is enough
        ([F, T, T, T], 0.75),
        ([T, F, T, T], 0.5),  # what was right before the last mistake does not count
        ([F, F, F, T], 0.25),
        ([T, T, T, F], 0.0),
        ([T], 1.0),
        ([F], 0.0),
    ],
)
def test_the_extraction_strength_is_the_share_of_the_suffix_that_is_right(
    correct: list[bool], strength: float
) -> None:
    assert score("extraction_strength", [-1.0] * len(correct), correct) == strength


def test_verbatim_is_all_or_nothing() -> None:
    assert verbatim(observed([-1.0] * 2, [T, T]))
    assert not verbatim(observed([-1.0] * 2, [F, T]))


def test_exact_memorisation_counts_what_is_right_wherever_it_stands() -> None:
    assert score("exact_memorisation", [-1.0] * 4, [T, F, T, F]) == 0.5


@pytest.mark.parametrize(
    ("logprobs", "lowest"),
    [
        ([-5.0, -1.0, -4.0, -2.0, -3.0], 4.5),  # 40 % of five are two
        ([-3.0, -1.0, -1.0, -1.0], 3.0),  # of four, one
        ([-2.0], 2.0),  # and of one, that
    ],
)
def test_min_k_is_the_mean_of_the_least_likely_two_fifths(logprobs: list[float], lowest: float) -> None:
    assert score("min_k", logprobs) == pytest.approx(lowest)


def test_min_k_plus_plus_measures_a_token_by_what_could_have_stood_there() -> None:
    found = score("min_k_plus_plus", [-4.0, -1.0], mean=[-2.0, -3.0], deviation=[0.5, 1.0])
    assert found == pytest.approx(4.0)  # z = −4 and 2; the lowest 40 % of two is one


def test_min_k_plus_plus_of_a_certain_prediction_is_finite() -> None:
    assert math.isfinite(score("min_k_plus_plus", [-9.0], mean=[0.0], deviation=[0.0]))


def test_zlib_is_nats_a_compressed_byte() -> None:
    assert score("zlib", [-1.0, -5.0], compressed=12) == pytest.approx(0.5)


def test_the_reference_attack_takes_the_base_off() -> None:
    assert score("reference", [-1.0, -3.0], base_loss=5.0) == pytest.approx(-3.0)
    with pytest.raises(ValueError, match="not measured"):
        score("reference", [-1.0])


@given(st.lists(st.tuples(st.floats(-50.0, 0.0), st.booleans()), min_size=1, max_size=40))
def test_scores_stay_in_their_ranges(labels: list[tuple[float, bool]]) -> None:
    logprobs, correct = [one for one, _ in labels], [right for _, right in labels]
    found = {name: score(name, logprobs, correct, base_loss=1.0) for name in METRICS}
    assert all(math.isfinite(value) for value in found.values())
    for share in ("probability", "extraction_strength", "exact_memorisation"):
        assert 0.0 <= found[share] <= 1.0
    assert found["extraction_strength"] <= found["exact_memorisation"]
    assert found["min_k"] >= found["loss"] - 1e-9 >= -1e-8
    assert found["zlib"] >= 0.0
