"""The verdict of tier 1: passed, failed, or not to be told."""

from collections.abc import Sequence

import pytest
import torch

from service.domain.engine import Losses
from service.domain.measurements import Interval, Outcome
from tests.workers.engine.metrics.lines import line, spread
from tests.workers.engine.metrics.observations import with_loss
from workers.engine.amplitude import largest_amplitude
from workers.engine.metrics.forgetting import forgotten_measurements
from workers.engine.metrics.likeness import likenesses
from workers.engine.metrics.verdict import Extraction, Likeness, judge
from workers.engine.never_seen import NeverSeenLevel
from workers.engine.verify import Baseline, extraction, goal_of

BEFORE = Losses(forget=0.2, corrected=2.0, retained=0.2, holdout=1.0)
TRAINING_LEVEL = 0.2


def after(**changes: float | None) -> Losses:
    values = {"forget": 0.9, "corrected": 0.25, "retained": 0.22, "holdout": 1.0, **changes}
    return Losses(**values)


def verdict(
    now: Losses,
    was: Losses = BEFORE,
    forgotten: int = 6,
    goal: float | None = 1.0,
    noise: float = 0.1,
    uncalibrated: bool = False,
    extraction: Extraction | None = None,
    likenesses: Sequence[Likeness] = (),
) -> tuple[bool | None, tuple[str, ...]]:
    return judge(
        was,
        now,
        forgotten,
        goal,
        noise,
        TRAINING_LEVEL,
        uncalibrated=uncalibrated,
        extraction=extraction,
        likenesses=likenesses,
    )


def test_reaching_every_level_passes() -> None:
    assert verdict(after()) == (True, ())


@pytest.mark.parametrize(
    ("now", "word"),
    [
        (after(forget=0.4), "Forgotten"),
        (after(forget=2.0), "Forgotten"),  # over-forgetting is a failure too
        (after(retained=0.4), "Retained"),
        (after(corrected=1.0), "Corrected"),
    ],
)
def test_a_measured_shortfall_fails_and_is_named(now: Losses, word: str) -> None:
    passed, reasons = verdict(now)
    assert passed is False
    assert [reason.split()[0] for reason in reasons] == [word]


def test_a_pass_on_too_few_instances_is_inconclusive() -> None:
    passed, reasons = verdict(after(), forgotten=2)
    assert passed is None
    assert "too few" in reasons[0]


def test_a_failure_on_few_instances_is_still_a_failure() -> None:
    assert verdict(after(forget=0.21), forgotten=2)[0] is False


def test_a_miss_within_the_noise_of_never_seen_losses_cannot_be_told() -> None:
    passed, reasons = verdict(after(forget=0.7), noise=0.31)
    assert passed is None
    assert "62% of the way" in reasons[0]
    assert verdict(after(forget=0.7), noise=0.29)[0] is False


def test_what_was_never_memorised_has_no_way_to_go() -> None:
    was = Losses(forget=0.95, corrected=None, retained=0.2, holdout=1.0)
    passed, reasons = verdict(after(forget=0.96), was)
    assert passed is None
    assert "no better known" in reasons[0]


def test_what_was_never_memorised_can_still_be_over_forgotten() -> None:
    was = Losses(forget=1.05, corrected=None, retained=0.2, holdout=1.0)
    assert verdict(after(forget=1.2), was)[0] is False


def test_without_never_seen_instances_nothing_can_be_told() -> None:
    passed, reasons = verdict(after(holdout=None), Losses(0.2, 2.0, 0.2, None), uncalibrated=True)
    assert passed is None
    assert "never-seen" in reasons[0]


def test_a_correction_alone_is_judged_by_itself() -> None:
    was = Losses(None, 2.0, 0.2, 1.0)
    assert verdict(after(forget=None), was, forgotten=0, goal=None) == (True, ())


@pytest.mark.parametrize(("strength", "passed"), [(0.5, True), (0.56, False), (1.0, False)])
def test_what_can_be_extracted_far_beyond_never_seen_text_fails(strength: float, passed: bool) -> None:
    """The bar: 10 % of the never-seen, a quarter that is harmless, and three standard errors of 6.7 %."""
    found, reasons = verdict(after(), extraction=Extraction(strength, 0.1, 0.2 / 3))
    assert found is passed
    assert [reason for reason in reasons if "extracted" in reason] == list(reasons)


def like(after: float, *, metric: str = "probability", noise: float = 0.05, margin: float | None = 0.2) -> Likeness:
    """Never-seen instances are at 0.2."""
    gap = after - 0.2
    return Likeness(metric, after, 0.2, Interval(gap - 2 * noise, gap + 2 * noise), noise, margin)


@pytest.mark.parametrize("metric", ["probability", "exact_memorisation"])
@pytest.mark.parametrize(
    ("after_update", "passed"),
    [
        (0.2, True),  # as the never-seen
        (0.45, True),  # beyond the margin, but its interval is not: the metric is inconclusive
        (0.49, True),
        (0.51, None),  # failed, but by less than three standard errors
        (0.54, None),
        (0.56, False),
        (0.9, False),
    ],
)
def test_what_fails_by_another_metric_does_not_pass(metric: str, after_update: float, passed: bool | None) -> None:
    found, reasons = verdict(after(), likenesses=[like(after_update, metric=metric)])
    assert found is passed
    assert len(reasons) == (0 if passed else 1)
    assert all(metric.replace("_", " ") in reason for reason in reasons)
    assert all(("too few" in reason) is (passed is None) for reason in reasons)


@pytest.mark.parametrize(("after_update", "passed"), [(0.1, True), (0.08, None), (0.02, False)])
def test_less_than_the_never_seen_is_over_forgetting(after_update: float, passed: bool | None) -> None:
    assert verdict(after(), likenesses=[like(after_update, noise=0.02, margin=0.07)])[0] is passed


def test_where_there_was_nothing_to_forget_by_a_metric_it_has_no_say() -> None:
    assert verdict(after(), likenesses=[like(0.9, margin=None)]) == (True, ())


def test_another_metric_rescues_nothing_that_fails_by_its_loss() -> None:
    passed, reasons = verdict(after(forget=0.4), likenesses=[like(0.2), like(0.52)])
    assert passed is False
    assert len(reasons) == 2


@pytest.mark.parametrize("metric", ["probability", "exact_memorisation"])
@pytest.mark.parametrize("n", [4, 12, 60])
@pytest.mark.parametrize("right", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("level", [0.2, 1.0, 2.0])
def test_a_measurement_that_failed_is_never_beside_a_pass(metric: str, n: int, right: float, level: float) -> None:
    """Whatever the losses say: the report and the verdict read the same observations."""
    observed = line(spread(n, level, strength=right))
    outcomes = {one.metric: one.outcome for one in forgotten_measurements(observed, None)}
    found = likenesses(observed.forget.before, observed.forget.after, observed.holdout.after)
    passed, _ = verdict(after(), forgotten=n, likenesses=[one for one in found if one.metric == metric])
    assert (passed is not True) is (outcomes[metric] is Outcome.failed)


def test_without_either_group_nothing_is_alike() -> None:
    some = spread(4, 2.0)
    assert likenesses([], [], some) == likenesses(some, some, []) == []


def test_extraction_is_compared_with_as_many_never_seen_instances() -> None:
    forgotten, unseen = [with_loss(1.0, strength=0.4)] * 4, [with_loss(1.0, strength=s) for s in (0.0, 0.2)]
    found = extraction(forgotten, unseen)
    assert found is not None
    assert (found.forgotten, found.never_seen, found.noise) == pytest.approx((0.4, 0.1, 0.05))
    assert extraction([], unseen) is None
    assert extraction(forgotten, []) is None


def test_the_goal_is_the_never_seen_loss_of_instances_as_hard_but_never_below_the_present_one() -> None:
    before = Baseline(torch.zeros(1), [with_loss(0.2, base=2.0), with_loss(0.4, base=4.0)], [], [])
    assert goal_of(before, NeverSeenLevel(0.5, 0.5, 0.1)) == pytest.approx(2.0)
    assert goal_of(before, NeverSeenLevel(0.1, 0.0, 0.1)) == pytest.approx(0.3)
    assert goal_of(before, None) == pytest.approx(3.0)
    assert goal_of(Baseline(torch.zeros(1), [], [], []), None) is None


def test_the_level_follows_difficulty() -> None:
    base = torch.linspace(0.5, 2.0, 40)
    level = NeverSeenLevel.fit(base, 0.3 + 0.6 * base)
    assert level.mean(torch.tensor([1.0, 3.0])) == pytest.approx(1.5)


def test_the_level_of_few_instances_is_their_mean() -> None:
    level = NeverSeenLevel.fit(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]))
    assert (level.slope, level.intercept, level.deviation) == (0.0, 2.0, 1.0)


@pytest.mark.parametrize("limit", [1e-6, 0.3, 2.5])
def test_the_amplitude_stops_at_the_limit(limit: float) -> None:
    found = largest_amplitude(lambda scale: scale**2, limit, ceiling=2.0)
    assert found <= limit**0.5
    assert found == pytest.approx(limit**0.5, rel=1 / 32)


def test_the_amplitude_is_zero_where_nothing_is_allowed() -> None:
    assert largest_amplitude(lambda scale: 1.0 + scale, 0.5, ceiling=2.0) == 0.0


def test_the_amplitude_is_the_ceiling_where_nothing_limits_it() -> None:
    assert largest_amplitude(lambda scale: scale, 10.0, ceiling=2.0) == 2.0
