"""First-order peers on an adapter that knows its data by heart: they forget, keep, and learn what is new."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from service.domain.adapters import LoraSpec
from service.domain.ledger import Edit
from workers.bench.cases import Case, Line
from workers.bench.cost import metered
from workers.bench.lines import case_of, trained_line
from workers.bench.methods.descent import Stream, descend, losses_of
from workers.bench.methods.finetune import FineTune
from workers.bench.methods.goals import goal_loss
from workers.bench.methods.method import Method
from workers.bench.methods.nothing import nothing
from workers.bench.methods.preference import NPO, PushAway, SimNPO, ascent
from workers.bench.methods.replay import Replay
from workers.bench.methods.retrain import retrain
from workers.bench.methods.shards import Shards
from workers.bench.methods.task_arithmetic import TaskArithmetic
from workers.bench.settings import Setting, regimes
from workers.engine.evaluation import adapter_losses
from workers.engine.tokens import Tokens

pytestmark = pytest.mark.slow

PUSHES = {
    "gradient-ascent": PushAway(ascent, hold=0.0),
    "graddiff": PushAway(ascent, hold=1.0),
    "npo": PushAway(NPO(), hold=1.0),
    "simnpo": PushAway(SimNPO(), hold=1.0),
}
FORGETTING: dict[str, Method] = {
    **PUSHES,
    "retrain": retrain,
    "replay": Replay(0),
    "task-arithmetic": TaskArithmetic(),
}
LEARNING: dict[str, Method] = {
    **PUSHES,
    "retrain": retrain,
    "replay": Replay(0),
    "short replay": Replay(1, share=0.5),
    "finetune": FineTune(5),
}


@pytest.fixture(scope="module")
def known(setting: Setting, cache: Path) -> Line:
    """A line that has had time to memorise; the shared one has hardly begun."""
    lora = LoraSpec(r=4, alpha=8, target_modules=("q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"))
    recipe = setting.recipes["memorised"].model_copy(update={"epochs": 30, "lora": lora})
    return trained_line(replace(setting, recipes=regimes(recipe)), "memorised", cache)


@pytest.fixture(scope="module")
def removal(known: Line) -> Case:
    return case_of(known, [Edit(name, None) for name in known.subjects["subject-0"]], seed=0)


@pytest.fixture(scope="module")
def correction(known: Line) -> Case:
    changed = zip(known.data.examples[:3], ("hgfed", "badge", "cab"), strict=True)
    return case_of(known, [Edit(old.id, old.content.with_completion(new)) for old, new in changed], seed=0)


def _loss(case: Case, weights: Tensor, tokens: Sequence[Tokens]) -> float:
    case.line.resident.parameters.set(weights)
    return float(adapter_losses(case.line.resident, tokens).mean())


def _answer(method: Method, case: Case) -> Tensor:
    case.line.resident.parameters.set(case.line.anchor)
    return method(case)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORGETTING)
def test_the_removed_are_known_less_and_more_so_than_the_retained(name: str, removal: Case) -> None:
    anchor, answer = removal.line.anchor, _answer(FORGETTING[name], removal)
    assert answer.shape == anchor.shape
    assert bool(torch.isfinite(answer).all())
    forgotten = _loss(removal, answer, removal.old) - _loss(removal, anchor, removal.old)
    harm = _loss(removal, answer, removal.retained) - _loss(removal, anchor, removal.retained)
    assert forgotten > 0.3
    assert forgotten > 1.5 * harm


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNING)
def test_new_contents_are_learnt(name: str, correction: Case) -> None:
    answer = _answer(LEARNING[name], correction)
    before = _loss(correction, correction.line.anchor, correction.new)
    assert _loss(correction, answer, correction.new) < before - 0.5


def test_adding_the_new_makes_up_for_part_of_subtracting_the_old(correction: Case) -> None:
    """Only part: on so small a model the subtraction takes more than the addition gives."""
    removal = replace(correction, changes=tuple(replace(change, new=None) for change in correction.changes))
    subtracted, both = (_answer(TaskArithmetic(), case) for case in (removal, correction))
    assert _loss(correction, both, correction.new) < _loss(correction, subtracted, correction.new) - 0.3


@pytest.mark.parametrize("name", ["gradient-ascent", "graddiff", "npo"])
def test_pushing_ends_where_never_seen_data_are(name: str, removal: Case) -> None:
    reached = _loss(removal, _answer(PUSHES[name], removal), removal.old)
    removal.line.resident.parameters.set(removal.line.anchor)
    assert goal_loss(removal) <= reached < goal_loss(removal) + 1


def test_holding_the_retained_harms_them_less(removal: Case) -> None:
    bare, held = (_answer(PUSHES[name], removal) for name in ("gradient-ascent", "graddiff"))
    assert _loss(removal, held, removal.retained) < _loss(removal, bare, removal.retained)


def test_a_subtraction_is_no_longer_than_never_seen_data_allow(removal: Case) -> None:
    answer = _answer(TaskArithmetic(), removal)
    removal.line.resident.parameters.set(removal.line.anchor)
    goal = goal_loss(removal)
    assert 0.9 * goal < _loss(removal, answer, removal.old) <= goal


def test_pushing_goes_on_until_new_contents_are_learnt(known: Line, correction: Case) -> None:
    """Old contents that are already forgotten leave the new ones to be learnt, and nothing to push."""
    stranger = known.tokens["new-0"]
    gone = replace(correction, changes=tuple(replace(change, old=stranger) for change in correction.changes))
    known.resident.parameters.set(known.anchor)
    easy = replace(gone, line=replace(known, preparation=replace(known.preparation, never_seen=None)))
    learnt = _loss(easy, _answer(PUSHES["gradient-ascent"], easy), easy.new)
    assert learnt < _loss(easy, known.anchor, easy.new) - 1


def test_nothing_is_the_anchor(removal: Case) -> None:
    assert torch.equal(nothing(removal), removal.line.anchor)


def test_npo_is_ascent_for_a_small_beta_and_saturates_with_length() -> None:
    def slope(push: NPO, length: float) -> float:
        losses = torch.tensor([2.0], requires_grad=True)
        push(losses, torch.tensor([1.0]), torch.tensor([length])).backward()  # type: ignore[no-untyped-call]
        assert losses.grad is not None
        return float(losses.grad) / length

    assert slope(NPO(beta=1e-6), 1) == pytest.approx(-1, abs=1e-4)
    assert -0.01 < slope(NPO(beta=0.1), 100) < 0


def test_simnpo_has_no_reference() -> None:
    losses, lengths = torch.tensor([1.0, 2.0]), torch.ones(2)
    values = [float(SimNPO()(losses, reference, lengths)) for reference in (torch.zeros(2), torch.ones(2))]
    assert values[0] == values[1]


def test_a_stream_takes_everything_once_before_anything_twice(removal: Case) -> None:
    stream = Stream(removal.retained, seed=1)
    batches = [stream.draw(8) for _ in range(5)]
    assert [len(batch) for batch in batches] == [8, 8, 8, 8, 1]
    assert {one for batch in batches for one in batch} == set(removal.retained)
    assert Stream([], seed=1).draw(8) == []


def test_descent_goes_down_and_keeps_its_start(removal: Case) -> None:
    resident, anchor = removal.line.resident, removal.line.anchor
    start = anchor.clone()

    def loss(_: int) -> Tensor:
        return losses_of(resident, removal.old).mean()

    after = descend(resident, start, loss, steps=5, learning_rate=1e-3)
    assert torch.equal(start, anchor)
    assert _loss(removal, after, removal.old) < _loss(removal, anchor, removal.old)
    assert torch.equal(descend(resident, start, loss, steps=5, learning_rate=1e-3, until=lambda: True), anchor)


@pytest.mark.slow
def test_shards_train_only_where_the_ledger_is(removal: Case) -> None:
    def share(method: Callable[[Case], Tensor]) -> float:
        with metered(removal.line.resident.model) as cost:
            answer = method(removal)
        assert bool(torch.isfinite(answer).all())
        return cost.instance_gradients / removal.line.training_instances

    # A quarter of the subjects is one shard, less the three instances that go.
    assert share(Shards()) == pytest.approx((9 - 3) / 36, abs=0.01)
    assert share(retrain) == pytest.approx((36 - 3) / 36, abs=0.01)
