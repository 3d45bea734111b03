"""The update as a whole on a memorised dataset: forgetting, correcting, order, fall-backs, artefacts."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from service.domain.adapters import UPDATE_BUDGET, LoraSpec, Recipe, TrainingFormat
from service.domain.engine import Anchor, Base, InfluenceResult, Progress, Stage, TrainingSet
from service.domain.ledger import Edit
from service.domain.measurements import Group, Outcome
from service.flows.staged import answer_measurements
from tests.workers.engine.small_data import CPU, encode_all, ignore_progress, make_examples, never
from workers.channel import Channel, pair
from workers.engine.approach import Forgotten, Taught
from workers.engine.errors import EngineRefusal
from workers.engine.loading import open_base
from workers.engine.mend import BATCH, MEND_COST, MOST
from workers.engine.metrics.registry import METRICS
from workers.engine.preparation import Preparation, load_preparation, prepare
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.targets import TARGET_COST, Aims
from workers.engine.tokens import NO_LOSS, Tokens
from workers.engine.top_predictions import TopPredictions
from workers.engine.training import train
from workers.engine.update import (
    FEWEST_STEPS,
    FEWEST_STEPS_TO_TEACH,
    HARMLESS_SAMPLE,
    MOST_STEPS,
    STRETCH_COST,
    affordable_mending,
    affordable_steps,
    answer,
)

pytestmark = pytest.mark.slow

LORA = LoraSpec(r=4, alpha=8, target_modules=("q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"))
RECIPE = Recipe(epochs=80, batch_size=8, learning_rate=1e-2, seed=3, lora=LORA)


@dataclass(frozen=True)
class Line:
    """A trained anchor with everything that an answer needs."""

    resident: Resident
    anchor: Anchor
    record: TrainingRecord
    weights: torch.Tensor
    directory: Path

    def prepare(self, record: TrainingRecord | None, data: TrainingSet | None = None) -> Preparation:
        data = data or self.anchor.data
        self.resident.parameters.set(self.weights)
        return prepare(self.resident, data, encode_all(self.resident, data), record, self.directory, ignore_progress)

    def answer(
        self,
        preparation: Preparation,
        edits: list[Edit],
        record: TrainingRecord | None = None,
        anchor: Anchor | None = None,
    ) -> tuple[torch.Tensor, InfluenceResult]:
        self.resident.parameters.set(self.weights)
        return answer(
            self.resident, anchor or self.anchor, preparation, record, edits, ignore_progress, budget=UPDATE_BUDGET
        )


@pytest.fixture(scope="module")
def line(llama_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Line:
    data = TrainingSet(
        base=Base(str(llama_path), None, None),
        format=TrainingFormat(max_length=64),
        examples=make_examples(36, seed=1),
        slots=tuple(range(36)),
        slot_count=36,
        holdout=make_examples(24, seed=2, prefix="new"),
    )
    directory = tmp_path_factory.mktemp("anchor")
    resident = Resident(open_base(data.base, CPU), LORA)
    record = train(
        resident,
        data,
        RECIPE,
        encode_all(resident, data),
        checkpoint=directory,
        progress=ignore_progress,
        should_yield=never,
    )
    assert isinstance(record, TrainingRecord)
    anchor = Anchor("key", data, RECIPE, directory, directory)
    return Line(resident, anchor, record, resident.parameters.get(), directory)


@pytest.fixture(scope="module")
def preparation(line: Line) -> Preparation:
    return line.prepare(line.record)


@pytest.fixture(scope="module")
def mixture(line: Line) -> list[Edit]:
    """Two removals, one query modification, one response correction."""
    examples = line.anchor.data.examples
    return [
        Edit(examples[4].id, None),
        Edit(examples[20].id, None),
        Edit(examples[9].id, examples[9].content.with_prompt("row nine:")),
        Edit(examples[15].id, examples[15].content.with_completion("hgfe")),
    ]


def test_a_mixture_forgets_corrects_and_retains(line: Line, preparation: Preparation, mixture: list[Edit]) -> None:
    weights, result = line.answer(preparation, mixture, line.record)
    before, after = result.before, result.after
    assert before.forget is not None
    assert after.forget is not None
    assert before.corrected is not None
    assert after.corrected is not None
    assert before.retained is not None
    assert after.retained is not None
    assert after.holdout is not None
    assert after.forget > before.forget + 0.2 * (after.holdout - before.forget)
    assert after.corrected < 0.5 * before.corrected
    assert after.retained < before.retained + 0.15 * (after.holdout - before.retained)
    assert torch.isfinite(weights).all()
    assert result.solver_residual < 1e-3
    assert result.retained_kl > 0
    assert set(result.seconds) == {Stage.gradients, Stage.solving, Stage.verifying}


def test_what_was_verified_comes_with_the_answer_and_through_the_channel(
    line: Line, preparation: Preparation, mixture: list[Edit]
) -> None:
    _, result = line.answer(preparation, mixture, line.record)
    measured = {(one.metric, one.group): one for one in result.verified.measurements}
    assert {name for name, group in measured if group is Group.forgotten} >= {*METRICS, "auc_loss", "loss_int8"}
    loss = measured["loss", Group.forgotten]
    assert (loss.n, loss.before, loss.after) == (2, result.before.forget, result.after.forget)
    assert loss.outcome is not Outcome.passed  # two are too few
    assert measured["kl_to_previous", Group.retained].after == result.retained_kl
    assert measured["loss", Group.corrected].after == result.after.corrected
    assert [one.n for one in result.verified.power] == [1, 2, 5]
    assert {one.group for one in result.verified.distributions} == set(Group)
    assert all(result.verified.not_run.values())
    ours, theirs = pair()
    child = Channel.from_descriptor(theirs)
    child.send(result)
    assert ours.receive() == result
    json.dumps(answer_measurements(result), allow_nan=False)
    ours.close()
    child.close()


def test_the_same_answer_verifies_alike(line: Line, preparation: Preparation, mixture: list[Edit]) -> None:
    first, second = (line.answer(preparation, mixture, line.record)[1] for _ in range(2))
    assert first.verified == second.verified


def test_the_order_of_arrival_leaves_no_trace(line: Line, preparation: Preparation, mixture: list[Edit]) -> None:
    forward, _ = line.answer(preparation, mixture, line.record)
    backward, _ = line.answer(preparation, mixture[::-1], line.record)
    assert torch.equal(forward, backward)


def test_ten_requests_one_by_one_equal_one_batch_of_ten(line: Line, preparation: Preparation) -> None:
    """Every answer is solved from the anchor with the union so far; earlier answers leave no trace."""
    edits = [Edit(example.id, None) for example in line.anchor.data.examples[:10]]
    batch, _ = line.answer(preparation, edits, line.record)
    for count in (1, 4, 10):
        one_by_one, _ = line.answer(preparation, edits[:count][::-1], line.record)
    assert torch.equal(one_by_one, batch)


def test_a_stored_preparation_gives_the_same_answer(line: Line, preparation: Preparation, mixture: list[Edit]) -> None:
    fresh, _ = line.answer(preparation, mixture, line.record)
    loaded, _ = line.answer(load_preparation(line.directory, CPU), mixture, line.record)
    assert torch.equal(fresh, loaded)


def test_it_works_without_a_training_record(line: Line, mixture: list[Edit], tmp_path: Path) -> None:
    line = replace(line, directory=tmp_path)
    preparation = line.prepare(None)
    assert preparation.calibration.checkpoint is None
    assert preparation.calibration.vectors_amplitude is None
    without_recipe = replace(line.anchor, recipe=None)
    weights, result = line.answer(preparation, mixture, None, without_recipe)
    assert torch.isfinite(weights).all()
    assert result.before.forget is not None
    assert result.after.forget is not None
    assert result.after.forget > result.before.forget


def test_without_a_holdout_the_verdict_is_open_and_nothing_drifts(
    line: Line, mixture: list[Edit], tmp_path: Path
) -> None:
    line = replace(line, directory=tmp_path)
    data = replace(line.anchor.data, holdout=())
    preparation = line.prepare(line.record, data)
    assert preparation.never_seen is None
    assert not preparation.calibration.measured
    _, result = line.answer(preparation, mixture, line.record, replace(line.anchor, data=data))
    assert result.passed is None or result.passed is False
    assert any("never-seen" in reason for reason in result.reasons)
    assert result.drift is None


def test_a_tenth_of_the_data_can_go(line: Line, preparation: Preparation) -> None:
    edits = [Edit(example.id, None) for example in line.anchor.data.examples[::9]]
    weights, result = line.answer(preparation, edits, line.record)
    assert torch.isfinite(weights).all()
    assert result.before.forget is not None
    assert result.after.forget is not None
    assert result.after.forget > result.before.forget


def test_an_instance_that_was_never_trained_on_is_refused(line: Line, preparation: Preparation) -> None:
    with pytest.raises(EngineRefusal, match="unknown_instance"):
        line.answer(preparation, [Edit("nobody", None)], line.record)


def test_progress_names_every_stage(line: Line, preparation: Preparation, mixture: list[Edit]) -> None:
    seen: list[Progress] = []
    line.resident.parameters.set(line.weights)
    answer(line.resident, line.anchor, preparation, line.record, mixture, seen.append, budget=UPDATE_BUDGET)
    assert [p.stage for p in seen] == [Stage.gradients, Stage.solving, Stage.verifying]


def test_a_broken_preparation_is_refused(tmp_path: Path) -> None:
    (tmp_path / "preparation.json").write_text("{}")
    with pytest.raises(EngineRefusal, match="preparation"):
        load_preparation(tmp_path, CPU)


def aims(removed: int, edited: int = 0) -> Aims:
    """So many of each kind; what they are about does not matter to their cost."""
    tokens, target = Tokens((1, 2), (NO_LOSS, 2)), TopPredictions.of(torch.zeros(1, 5).log_softmax(-1))
    taught = [Taught(tokens, 0.1)] * edited
    return Aims([Forgotten(tokens, target)] * removed + [Forgotten(tokens, target, 0.3)] * edited, taught)


def test_steps_are_what_the_budget_pays_for(line: Line) -> None:
    """36 instances, 80 epochs: a share of it in gradients, less the targets' and the last look, an aim a step."""
    for budget in (0.01, 0.02, 0.03):
        left = budget * 36 * 80 - 4 * TARGET_COST - (4 + HARMLESS_SAMPLE) * STRETCH_COST
        steps = affordable_steps(line.anchor, aims(4), budget)
        assert steps == max(FEWEST_STEPS, min(MOST_STEPS, int(left / 4) - 1))
    assert affordable_steps(line.anchor, aims(4), 0.02) > FEWEST_STEPS


def test_there_are_never_too_few_steps_to_arrive_and_more_where_something_is_taught(line: Line) -> None:
    assert affordable_steps(line.anchor, aims(4), 0.0) == FEWEST_STEPS
    assert affordable_steps(line.anchor, aims(4, 1), 0.0) == FEWEST_STEPS_TO_TEACH
    assert affordable_steps(line.anchor, aims(4), 1.0) == MOST_STEPS
    assert affordable_steps(line.anchor, aims(0), 1.0) == MOST_STEPS


def test_what_the_steps_leave_of_the_budget_is_for_mending(line: Line) -> None:
    found = [affordable_mending(line.anchor, aims(4), budget, MOST_STEPS) for budget in (0.0, 0.04, 0.1, 10.0)]
    assert found == sorted(found)
    assert (found[0], found[-1]) == (0, MOST)
    left = 0.1 * 36 * 80 - 4 * TARGET_COST - (4 + HARMLESS_SAMPLE) * STRETCH_COST - 4 * (MOST_STEPS + 1)
    assert found[2] == int(left / (MEND_COST * BATCH)) > found[1]


def test_without_a_recipe_three_epochs_are_taken_to_have_been_the_cost(line: Line) -> None:
    without_recipe = replace(line.anchor, recipe=None)
    three = replace(line.anchor, recipe=RECIPE.model_copy(update={"epochs": 3}))
    for budget in (0.3, 0.4, 0.5):
        assert affordable_steps(without_recipe, aims(3), budget) == affordable_steps(three, aims(3), budget)
