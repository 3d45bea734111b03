"""The forgotten against the never-seen: what passes, what fails, what cannot be told."""

from dataclasses import replace

import pytest

from service.domain.measurements import Group, Measurement, Outcome, Wish
from tests.workers.engine.metrics.lines import line, spread
from tests.workers.engine.metrics.observations import with_loss
from workers.engine.metrics.forgetting import forgotten_measurements, never_seen_scores
from workers.engine.metrics.groups import Observed
from workers.engine.metrics.keeping import keeping_measurements
from workers.engine.metrics.loss import LOSS
from workers.engine.metrics.observation import Moved
from workers.engine.metrics.registry import METRICS
from workers.engine.never_seen import NeverSeenLevel

LEVEL = NeverSeenLevel(2.0, 0.0, 0.2)


def of(observed: Observed, level: NeverSeenLevel | None = LEVEL) -> dict[str, Measurement]:
    return {one.metric: one for one in forgotten_measurements(observed, level)}


def test_every_metric_is_measured_and_every_attack_twice() -> None:
    found = of(line(spread(12, 2.0)))
    assert set(found) == {*METRICS, *(f"auc_{one.name}" for one in METRICS.values() if one.attack), "verbatim"}
    assert all(one.group is Group.forgotten and one.n == 12 for one in found.values())


def test_what_is_like_the_never_seen_passes() -> None:
    found = of(line(spread(40, 2.0)))
    assert {found[name].outcome for name in ("loss", "probability", "extraction_strength")} == {Outcome.passed}
    assert found["auc_loss"].after == pytest.approx(0.5, abs=0.2)
    assert found["auc_loss"].before == 1.0


@pytest.mark.parametrize("level", [0.3, 3.5])
def test_what_is_still_known_fails_and_so_does_over_forgetting(level: float) -> None:
    assert of(line(spread(12, level)))["loss"].outcome is Outcome.failed


def test_two_instances_never_pass() -> None:
    assert Outcome.passed not in {one.outcome for one in of(line(spread(2, 2.0))).values()}


def test_what_was_never_memorised_cannot_be_told() -> None:
    observed = line(spread(8, 2.0))
    found = of(replace(observed, forget=Moved(observed.forget.after, observed.forget.after, ())))
    assert (found["loss"].margin, found["loss"].outcome) == (None, Outcome.inconclusive)


def test_an_attack_alone_is_evidence_and_no_verdict() -> None:
    found = of(line(spread(12, 0.3)))
    attacks = [one for one in METRICS.values() if not one.judged]
    assert {found[one.name].outcome for one in attacks} == {Outcome.informative}
    assert {found[f"auc_{one.name}"].outcome for one in attacks} == {Outcome.informative}


def test_what_can_be_said_verbatim_is_named() -> None:
    found = of(line(spread(12, 2.0, strength=1.0)))
    assert (found["verbatim"].after, found["verbatim"].outcome) == (1.0, Outcome.failed)
    assert found["extraction_strength"].outcome is Outcome.failed


def test_the_worst_is_the_one_that_is_best_remembered() -> None:
    found = of(line([with_loss(2.0, base=3.0), with_loss(0.5, strength=0.6, base=3.0), with_loss(2.1, base=3.0)]))
    assert (found["loss"].worst, found["extraction_strength"].worst) == (pytest.approx(0.5), pytest.approx(0.6))


def test_never_seen_losses_are_taken_to_be_as_hard_as_the_forgotten() -> None:
    observed = line(spread(4, 2.5, base=4.0), unseen=spread(30, 2.0, base=3.0))
    level = NeverSeenLevel(0.5, 0.5, 0.2)
    plain, moved = never_seen_scores(LOSS, observed, None), never_seen_scores(LOSS, observed, level)
    assert [b - a for a, b in zip(plain, moved, strict=True)] == pytest.approx([0.5] * 30)


def test_without_never_seen_instances_nothing_is_judged() -> None:
    found = of(line(spread(6, 2.0), unseen=()), None)
    assert {one.outcome for one in found.values()} == {Outcome.inconclusive, Outcome.informative}
    assert not any(name.startswith("auc") for name in found)


def test_without_base_losses_there_is_no_reference_attack() -> None:
    assert "reference" not in of(line(spread(6, 2.0, base=None)))


def test_of_nothing_forgotten_nothing_is_measured() -> None:
    assert of(line(())) == {}


def keeping(observed: Observed) -> dict[tuple[str, Group], Measurement]:
    return {(one.metric, one.group): one for one in keeping_measurements(observed, 0.2, 0.18)}


def test_what_stays_as_it_was_passes() -> None:
    found = keeping(line(spread(4, 2.0)))
    assert {one.outcome for one in found.values()} == {Outcome.passed}
    assert {one.wish for one in found.values()} == {Wish.not_above}
    assert set(found) == {("loss", Group.retained), ("loss", Group.never_seen), ("kl_to_previous", Group.retained)}


def test_a_rise_of_the_retained_fails() -> None:
    found = keeping(line((), retained_after=spread(60, 0.6, 0.05)))
    assert found["loss", Group.retained].outcome is Outcome.failed
    assert found["loss", Group.retained].margin == pytest.approx(0.18, abs=0.02)


@pytest.mark.parametrize(("level", "outcome"), [(0.22, Outcome.passed), (1.5, Outcome.failed)])
def test_corrections_must_come_to_the_training_level(level: float, outcome: Outcome) -> None:
    corrected = Moved(spread(6, 2.0), spread(6, level, 0.02), ())
    assert keeping(line((), corrected=corrected))["loss", Group.corrected].outcome is outcome


def test_too_large_a_shift_of_predictions_fails() -> None:
    observed = line(())
    far = replace(observed, retained=replace(observed.retained, divergences=[0.5] * 60))
    assert keeping(far)["kl_to_previous", Group.retained].outcome is Outcome.failed
