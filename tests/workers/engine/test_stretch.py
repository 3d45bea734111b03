"""How much further than the steps the removed are taken: to the end of their way, as long as it does no harm."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from service.domain.adapters import TrainingFormat
from tests.workers.engine.small_data import INSTANCES
from workers.engine.calibration import Calibration
from workers.engine.curvature import Curvature
from workers.engine.evaluation import adapter_losses
from workers.engine.gradients import weighted_gradient
from workers.engine.metrics.groups import Groups
from workers.engine.metrics.tier_two import Texts
from workers.engine.predictions import shift
from workers.engine.preparation import KL_SHARE, Preparation
from workers.engine.request import Request
from workers.engine.resident import Resident
from workers.engine.sketch import Sketch
from workers.engine.targets import Aims
from workers.engine.tokens import Tokens
from workers.engine.update import END_OF_WAY, HARMLESS_SHARE, MOST_STRETCH, _stretch

REMOVED, RETAINED = INSTANCES[:2], INSTANCES[2:]


@dataclass(frozen=True)
class Way:
    """From where the removed are known to where a few steps of gradient ascent on them ended."""

    resident: Resident
    start: Tensor
    end: Tensor

    def at(self, scale: float) -> Tensor:
        return self.start + scale * (self.end - self.start)

    def loss(self, scale: float) -> float:
        """Of the removed, so far along the way."""
        self.resident.parameters.set(self.at(scale))
        return float(adapter_losses(self.resident, REMOVED).mean())

    def changed(self, scale: float) -> float:
        """KL on the retained, so far along the way."""
        return shift(self.resident, RETAINED, self.start, self.at(scale)).divergence

    def aims(self, never_seen: float | None) -> Aims:
        return Aims((), (), removed=REMOVED, before=self.loss(0.0), never_seen=never_seen)

    def end_at(self, loss: float) -> Aims:
        """The removed have reached the end of their way at this loss."""
        before = self.loss(0.0)
        return self.aims(before + (loss - before) / END_OF_WAY)

    def harmless(self, change: float) -> Preparation:
        """A preparation that takes so much KL on the retained for harmless."""
        level = change / (HARMLESS_SHARE * KL_SHARE)
        size = self.resident.parameters.size
        sketch = Sketch(Curvature.of(torch.zeros(1, size), torch.ones(size)), ("row-0",), 1)
        return Preparation(sketch, Calibration(0.5, None, None, measured=True), level, None, None)

    def stretch(self, aims: Aims, harmless: float = 1e6, retained: tuple[Tokens, ...] = RETAINED) -> float:
        request = Request((), 0, (), Groups(REMOVED, (), retained, ()), Texts((), (), (), TrainingFormat(), 0), 0)
        return _stretch(self.resident, self.harmless(harmless), request, aims, self.start, self.end)


@pytest.fixture
def way(small: Resident) -> Way:
    start = small.parameters.get()
    for _ in range(3):
        uphill = weighted_gradient(small, REMOVED, [0.5] * len(REMOVED))
        small.parameters.set(small.parameters.get() + 0.02 * uphill / uphill.norm())
    return Way(small, start, small.parameters.get())


def test_the_way_leads_from_known_to_unknown(way: Way) -> None:
    """What the tests below rest on: loss rises all along, and what stays changes."""
    losses = [way.loss(scale) for scale in (0.0, 0.5, 1.0, 1.1, 1.2, MOST_STRETCH)]
    assert losses == sorted(losses)
    assert way.changed(1.0) > 1e-4


def test_the_removed_are_taken_to_the_end_of_their_way(way: Way) -> None:
    for scale in (1.05, 1.15, 1.25):
        goal = way.loss(scale)
        found = way.stretch(way.end_at(goal))
        assert 1.0 < found < MOST_STRETCH
        assert found == pytest.approx(scale, abs=0.02)
        assert way.loss(found) == pytest.approx(goal, abs=0.05 * (way.loss(MOST_STRETCH) - way.loss(1.0)))


def test_the_end_of_the_way_is_short_of_the_never_seen_level(way: Way) -> None:
    """From the first level that the steps themselves do not pass to one that is out of reach."""
    reached, furthest = way.loss(1.0), way.loss(2.0)
    for share in (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0):
        never_seen = reached + share * (furthest - reached)
        assert way.loss(way.stretch(way.aims(never_seen))) <= never_seen + 1e-6


def test_it_ends_at_the_most_however_far_the_goal(way: Way) -> None:
    assert way.stretch(way.aims(1e3)) == pytest.approx(MOST_STRETCH)


def test_nothing_removed_is_nothing_to_stretch(way: Way) -> None:
    assert way.stretch(Aims((), ())) == 1.0
    assert way.stretch(way.aims(None)) == 1.0


@pytest.mark.parametrize("scale", [0.0, 0.5, 0.9, 1.0])
def test_it_is_never_less_than_the_steps(way: Way, scale: float) -> None:
    """Wherever on the way the removed had gone far enough, or if there was none to go."""
    assert way.stretch(way.end_at(way.loss(scale))) == 1.0


def test_where_the_removed_come_no_further_nothing_is_stretched(way: Way) -> None:
    back = replace(way, end=way.at(-1.0))
    assert back.loss(MOST_STRETCH) < back.loss(1.0)
    assert back.stretch(back.aims(1e3)) == 1.0
    assert back.stretch(back.aims(1e3), 0.5 * back.changed(1.0)) == 1.0, "nor is it shortened"


def test_where_the_steps_used_up_what_is_harmless_nothing_is_stretched(way: Way) -> None:
    used = way.changed(1.0)
    for left in (0.0, 0.5 * used, 0.999 * used):
        assert way.stretch(way.aims(1e3), left) == 1.0


def test_what_stays_changes_no_more_than_is_harmless(way: Way) -> None:
    """Change grows with the square of the length, so that its root is what is left of the length."""
    used = way.changed(1.0)
    for most in (1.02, 1.1, 1.2):
        found = way.stretch(way.aims(1e3), most**2 * used)
        assert found == pytest.approx(most, rel=1e-3)
        assert used < way.changed(found) < 1.1 * most**2 * used


def test_a_goal_short_of_what_is_harmless_is_what_counts(way: Way) -> None:
    goal = way.loss(1.05)
    assert way.stretch(way.end_at(goal), 1.2**2 * way.changed(1.0)) == pytest.approx(1.05, abs=0.02)


def test_where_nothing_stays_or_nothing_of_it_changes_only_the_most_limits(way: Way) -> None:
    assert way.stretch(way.aims(1e3), 0.0, retained=()) == pytest.approx(MOST_STRETCH)
