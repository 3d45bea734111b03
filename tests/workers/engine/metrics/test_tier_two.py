"""Relearning, the int8 artefact, and what is left out for its cost."""

from collections.abc import Sequence

import pytest
import torch

from service.domain.adapters import TrainingFormat
from service.domain.engine import Example
from service.domain.instances import Content
from service.domain.measurements import Group, Outcome
from tests.workers.engine.metrics.observations import observed, with_loss
from tests.workers.engine.small_data import make_examples
from workers.engine.metrics.groups import Groups, Observed
from workers.engine.metrics.int8 import int8_measurement, rounded
from workers.engine.metrics.observation import Moved, observe
from workers.engine.metrics.relearning import matched, relearning_measurement
from workers.engine.metrics.report import Yardstick, report
from workers.engine.metrics.tier_two import MOST, Texts, tier_two
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens, encode

FORMAT = TrainingFormat(max_length=64)
SLOTS = ["truth_ratio", "exposure", "slot_rank"]


class Case:
    """Some examples as removed and others as never-seen, under the resident's weights before and after."""

    def __init__(self, resident: Resident, removed: Sequence[Example], unseen: Sequence[Example]) -> None:
        generator = torch.Generator().manual_seed(0)
        size = resident.parameters.size
        self.resident = resident
        self.weights = resident.parameters.get() + 0.05 * torch.randn(size, generator=generator)
        self.groups = Groups(self.tokens(removed), [], [], self.tokens(unseen))
        self.texts = Texts([e.content for e in removed], [e.content for e in unseen], [], FORMAT, 0)
        forget, holdout = (
            observe(resident, group, self.weights) for group in (self.groups.forget, self.groups.holdout)
        )
        self.observed = Observed(forget=Moved(forget, forget, ()), holdout=Moved(holdout, holdout, ()))

    def tokens(self, examples: Sequence[Example]) -> list[Tokens]:
        return [encode(self.resident.tokenizer, example.content, FORMAT) for example in examples]


def numbered(count: int, prefix: str) -> list[Example]:
    return [
        Example(f"{prefix}{n}", Content(prompt=f"{prefix}{n}?", completion=f"it is {100 + n}")) for n in range(count)
    ]


def test_rows_come_back_from_int8_within_half_a_level(resident: Resident) -> None:
    weights = torch.randn(resident.parameters.size, generator=torch.Generator().manual_seed(1))
    back, full = (resident.parameters.named(one) for one in (rounded(resident, weights), weights))
    for name, matrix in full.items():
        scale = matrix.abs().amax(1, keepdim=True) / 127
        assert ((back[name] - matrix).abs() <= scale / 2 + 1e-6).all()
        assert len((back[name][0] / scale[0]).round().unique()) <= 255
    assert torch.equal(rounded(resident, torch.zeros_like(weights)), torch.zeros_like(weights))


def test_the_int8_artefact_is_compared_with_the_weights_themselves(resident: Resident) -> None:
    case = Case(resident, make_examples(5, 1), ())
    found = int8_measurement(resident, case.groups.forget, case.observed.forget.after, case.weights, 0.1)
    assert found.reference is not None
    assert found.after == pytest.approx(found.reference, abs=0.1)
    assert found.after != found.reference
    assert torch.equal(resident.parameters.get(), case.weights)


def test_controls_are_alike_and_each_is_used_once() -> None:
    wanted = [with_loss(1.0), with_loss(1.1), observed([-1.0] * 2)]
    offered = [with_loss(9.0), observed([-1.0] * 3), with_loss(1.0), with_loss(1.2)]
    assert matched(wanted, offered) == [2, 3, 1]
    assert matched(wanted, offered[:1]) == [0]


def test_relearning_is_measured_against_as_many_never_seen(resident: Resident) -> None:
    case = Case(resident, make_examples(4, 1), make_examples(9, 2, "new"))
    after = (case.observed.forget.after, case.observed.holdout.after)
    found = relearning_measurement(resident, case.groups.forget, case.groups.holdout, after, case.weights)
    assert found is not None
    assert (found.n, found.reference) == (4, 1.0)
    assert 0.2 < found.after < 5.0
    assert torch.equal(resident.parameters.get(), case.weights)
    few = (after[0], after[1][:3])
    assert relearning_measurement(resident, case.groups.forget, case.groups.holdout[:3], few, case.weights) is None


def test_it_runs_what_it_can(resident: Resident) -> None:
    case = Case(resident, numbered(3, "old"), numbered(6, "new"))
    found = tier_two(resident, case.groups, case.observed, case.texts, case.weights)
    assert [one.metric for one in found.measurements] == [*SLOTS, "relearning_ratio"]
    assert found.not_run == {}


def test_without_values_of_a_type_slots_are_not_tried(resident: Resident) -> None:
    case = Case(resident, make_examples(3, 1), make_examples(6, 2, "new"))
    found = tier_two(resident, case.groups, case.observed, case.texts, case.weights)
    assert [one.metric for one in found.measurements] == ["relearning_ratio"]
    assert list(found.not_run) == SLOTS


@pytest.mark.parametrize(
    ("removed", "unseen", "word"), [(0, 4, "Nothing"), (MOST + 1, 12, "cost"), (3, 0, "never-seen")]
)
def test_what_is_not_run_is_named_with_the_reason(resident: Resident, removed: int, unseen: int, word: str) -> None:
    case = Case(resident, numbered(removed, "old"), numbered(unseen, "new"))
    found = tier_two(resident, case.groups, case.observed, case.texts, case.weights)
    assert found.measurements == ()
    assert set(found.not_run) == {*SLOTS, "relearning_ratio"}
    assert all(word in reason for reason in found.not_run.values())


def test_a_report_without_never_seen_instances_says_what_it_lacks(resident: Resident) -> None:
    case = Case(resident, numbered(3, "old"), ())
    found = report(resident, case.groups, case.observed, case.texts, Yardstick(None, 0.2, 0.1), case.weights)
    assert {"membership", "power", "ks_forget_quality", "relearning_ratio"} <= found.not_run.keys()
    assert Outcome.passed not in {one.outcome for one in found.measurements}
    assert {one.group for one in found.distributions} == {Group.forgotten}
    for one in found.distributions:
        assert (sum(one.counts), len(one.edges)) == (3, len(one.counts) + 1)


def test_a_report_of_nothing_removed_is_not_empty_handed(resident: Resident) -> None:
    case = Case(resident, (), numbered(6, "new"))
    found = report(resident, case.groups, case.observed, case.texts, Yardstick(None, 0.2, 0.1), case.weights)
    assert {found.not_run[name] for name in ("power", "loss_int8", "truth_ratio")} == {"Nothing was removed."}
    assert [one.group for one in found.measurements] == [Group.never_seen]
