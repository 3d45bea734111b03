"""The yardstick: oracles measure as 1, the anchor as worse, and every figure is what its definition says."""

from itertools import permutations
from pathlib import Path
from statistics import fmean

import pytest
import torch
from torch import Tensor

from service.domain.ledger import Edit
from workers.bench.cases import Line
from workers.bench.lines import case_of, retrained
from workers.bench.measure import Groups, Measures, Yardstick
from workers.engine.losses import label_logits
from workers.engine.metrics.membership import membership_auc
from workers.engine.tokens import Tokens, collate

pytestmark = pytest.mark.slow

EDITS = tuple(Edit(f"row-{number}", None) for number in (3, 4, 5, 6))


@pytest.fixture(scope="module")
def oracles(line: Line, cache: Path) -> list[Tensor]:
    return [retrained(line, EDITS, seed, cache) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def groups(line: Line) -> Groups:
    case = case_of(line, EDITS, 0)
    unseen = [line.tokens[example.id] for example in line.data.holdout]
    return Groups(case.old, case.old, case.retained, unseen, ())


@pytest.fixture(scope="module")
def yardstick(line: Line, groups: Groups, oracles: list[Tensor]) -> Yardstick:
    return Yardstick.of(line.resident, groups, line.anchor, oracles)


@pytest.fixture(scope="module")
def nothing(line: Line, yardstick: Yardstick) -> Measures:
    return yardstick.measure(line.anchor)


def _kl(line: Line, tokens: Tokens, reference: Tensor, candidate: Tensor) -> float:
    batch = collate([tokens], line.resident.pad_id)
    found = []
    for weights in (reference, candidate):
        line.resident.parameters.set(weights)
        found.append(label_logits(line.resident.model, batch)[0].detach().double().log_softmax(-1))
    return float((found[0].exp() * (found[0] - found[1])).sum(-1).mean())


def test_divergence_and_floor_are_the_mean_kl_instance_by_instance(
    line: Line, groups: Groups, oracles: list[Tensor], nothing: Measures
) -> None:
    floor = fmean(_kl(line, t, *pair) for t in groups.changed for pair in permutations(oracles, 2))
    kl = fmean(_kl(line, t, oracle, line.anchor) for t in groups.changed for oracle in oracles)
    first = fmean(_kl(line, t, oracles[0], line.anchor) for t in groups.changed)
    assert nothing.floor == pytest.approx(floor, rel=1e-4)
    assert nothing.kl == pytest.approx(kl, rel=1e-4)
    assert nothing.fidelity == pytest.approx(kl / floor, rel=1e-4)
    assert nothing.fidelity_same_seed == pytest.approx(first / floor, rel=1e-4)


def test_the_oracles_are_on_average_a_floor_from_the_other_ones(yardstick: Yardstick, oracles: list[Tensor]) -> None:
    # An oracle is no distance from itself, so the mean over all oracles lacks one term.
    found = fmean(yardstick.measure(oracle).fidelity for oracle in oracles)
    assert found == pytest.approx((len(oracles) - 1) / len(oracles), rel=1e-5)


def test_an_oracle_is_at_no_distance_from_itself(yardstick: Yardstick, oracles: list[Tensor]) -> None:
    assert yardstick.measure(oracles[0]).fidelity_same_seed == 0


def test_the_first_oracle_leaks_nothing_against_itself(yardstick: Yardstick, oracles: list[Tensor]) -> None:
    found = yardstick.measure(oracles[0])
    assert found.priv_leak in (0.0, None)
    assert (found.ks_distance, found.ks_p) == (0.0, 1.0)
    other = yardstick.measure(oracles[1])
    assert other.ks_distance > 0
    assert other.ks_smallest_p <= other.ks_p <= 1


def test_doing_nothing_is_as_far_as_the_anchor(nothing: Measures) -> None:
    assert nothing.delta_distance == pytest.approx(1)
    assert nothing.forget_loss < nothing.oracle_forget_loss


def test_an_empty_group_has_no_figures(nothing: Measures) -> None:
    assert nothing.fidelity_reworded is None
    assert nothing.floor_reworded is None


def test_groups_larger_than_a_batch_are_measured_whole(
    line: Line, groups: Groups, oracles: list[Tensor], nothing: Measures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.bench.measure.BATCH", 5)
    again = Yardstick.of(line.resident, groups, line.anchor, oracles).measure(line.anchor)
    assert again.fidelity_retained == pytest.approx(nothing.fidelity_retained, rel=1e-3)


def test_one_forgotten_instance_cannot_be_relearned_by_halves(
    line: Line, groups: Groups, oracles: list[Tensor]
) -> None:
    alone = Groups(groups.changed[:1], groups.forgotten[:1], groups.retained, groups.unseen, groups.changed[:1])
    found = Yardstick.of(line.resident, alone, line.anchor, oracles).measure(line.anchor)
    assert found.relearn_after is None
    assert found.oracle_relearn_after is None
    assert found.fidelity_reworded == found.fidelity


@pytest.mark.parametrize(
    ("members", "unseen", "expected"),
    [
        ([1.0, 2.0], [3.0, 4.0], 1.0),
        ([3.0], [1.0, 2.0], 0.0),
        ([1.0, 2.0], [1.0, 2.0], 0.5),
        ([1.0], [1.0, 2.0], 0.75),
    ],
)
def test_membership_auc_counts_ties_half(members: list[int], unseen: list[int], expected: float) -> None:
    assert membership_auc(torch.tensor(members), torch.tensor(unseen)) == expected
