"""Erasure vectors of whole training runs: against the recursion written out by hand, and what they do when applied."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from service.domain.adapters import LoraSpec, Recipe
from service.domain.engine import TrainingSet
from tests.workers.engine.small_data import CPU, encode_all, ignore_progress, never
from workers.engine.erasure_vectors import ErasureVectors
from workers.engine.gradients import weighted_gradient
from workers.engine.losses import mean_losses
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.schedule import derived_seed, epoch_batches, learning_rate, steps_per_epoch
from workers.engine.tokens import Tokens
from workers.engine.training import train

# 128 parameters: few enough for dense matrices.
SMALL = LoraSpec(r=1, alpha=2, target_modules=("q_proj",))
MEMBERS = 3


@pytest.fixture
def small(open_resident: Callable[[Path, LoraSpec], Resident], llama_path: Path) -> Resident:
    return open_resident(llama_path, SMALL)


def with_subjects(data: TrainingSet, members: int = MEMBERS) -> TrainingSet:
    """The data in subjects of as many instances each, in a row."""
    named = [replace(example, subject=f"s{index // members:02}") for index, example in enumerate(data.examples)]
    return replace(data, examples=tuple(named))


def vectors_for(resident: Resident, data: TrainingSet) -> ErasureVectors:
    vectors = ErasureVectors.start(data, resident.parameters.size, CPU)
    assert vectors is not None
    return vectors


class Dense:
    """The recursion for one subject in fp64, with P and G as matrices [p, p]."""

    def __init__(self, subject: str, data: TrainingSet, size: int) -> None:
        self._members = {example.id for example in data.examples if example.subject == subject}
        self.delta = torch.zeros(size, dtype=torch.float64)

    def step(
        self, gradients: dict[str, Tensor], tokens: dict[str, Tokens], coefficient: float, preconditioner: Tensor
    ) -> None:
        size = len(self.delta)
        curvature = torch.zeros(size, size, dtype=torch.float64)
        own = torch.zeros(size, dtype=torch.float64)
        for name, gradient in gradients.items():
            if name in self._members:
                own += coefficient * gradient
            else:
                curvature += coefficient * tokens[name].label_count * torch.outer(gradient, gradient)
        system = torch.eye(size, dtype=torch.float64) + preconditioner[:, None] * curvature
        self.delta = torch.linalg.solve(system, self.delta + preconditioner * own)


def one_by_one(resident: Resident, tokens: dict[str, Tokens], ids: Sequence[str]) -> dict[str, Tensor]:
    """Each instance's gradient [p] from a pass of its own, fp64."""
    return {name: weighted_gradient(resident, [tokens[name]], [1.0]).double() for name in ids}


def trained(resident: Resident, data: TrainingSet, recipe: Recipe, place: Path) -> tuple[Tensor, TrainingRecord]:
    record = train(
        resident,
        data,
        recipe,
        encode_all(resident, data),
        checkpoint=place,
        progress=ignore_progress,
        should_yield=never,
    )
    assert isinstance(record, TrainingRecord)
    return resident.parameters.get(), record


def vectors_of(record: TrainingRecord) -> ErasureVectors:
    assert record.vectors is not None
    return record.vectors


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact.double()).norm() / exact.double().norm())


@pytest.mark.slow
def test_training_accumulates_the_dense_recursion(small: Resident, data: TrainingSet, tmp_path: Path) -> None:
    """A whole run against one written out by hand: order, weights, learning rates and Adam's moments."""
    grouped = with_subjects(data)
    recipe = Recipe(epochs=3, batch_size=8, learning_rate=1e-2, max_grad_norm=0.5, epsilon=1e-3, seed=3, lora=SMALL)
    weights, record = trained(small, grouped, recipe, tmp_path)
    tokens = encode_all(small, grouped)
    dense = [Dense(f"s{index:02}", grouped, small.parameters.size) for index in range(12)]
    small.initialise(derived_seed(recipe.seed, "initialisation", 0))
    present = small.parameters.get()
    first, second = torch.zeros_like(present), torch.zeros_like(present)
    ids = [example.id for example in grouped.examples]
    total = recipe.epochs * steps_per_epoch(recipe, 36)
    batches = [batch for epoch in range(recipe.epochs) for batch in epoch_batches(recipe, 36, epoch)]
    for step, batch in enumerate(batches):
        gradients = one_by_one(small, tokens, [ids[slot] for slot in batch])
        gradient = torch.stack(list(gradients.values())).sum(0).float() / 8
        scale = min(1.0, 0.5 / float(gradient.norm()))
        first = 0.9 * first + 0.1 * scale * gradient
        second = 0.999 * second + 0.001 * (scale * gradient).square()
        root = (second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-3
        rate = learning_rate(recipe, step, total)
        present = present - rate * first / (1 - 0.9 ** (step + 1)) / root
        small.parameters.set(present)
        for subject in dense:
            subject.step(gradients, tokens, 1 / 8, (rate * scale / root).double())
    assert error(weights, present) < 1e-4
    found = vectors_of(record)
    assert max(error(found.total([f"s{i:02}"]), subject.delta) for i, subject in enumerate(dense)) < 1e-3


@pytest.mark.slow
class TestTraining:
    def test_its_weights_are_bit_equal_with_and_without_vectors(
        self,
        open_resident: Callable[[Path, LoraSpec], Resident],
        llama_path: Path,
        data: TrainingSet,
        tmp_path: Path,
    ) -> None:
        """Also with dropout and clipping, which a pass too many or too few would give other numbers."""
        lora = LoraSpec(r=4, alpha=8, dropout=0.2, target_modules=("q_proj", "v_proj"))
        recipe = Recipe(epochs=3, batch_size=8, learning_rate=1e-2, max_grad_norm=0.5, seed=3, lora=lora)
        resident = open_resident(llama_path, lora)
        watched, record = trained(resident, with_subjects(data), recipe, tmp_path)
        off = recipe.model_copy(update={"erasure_vectors": False})
        plain, unwatched = trained(resident, with_subjects(data), off, tmp_path)
        assert torch.equal(watched, plain)
        assert torch.equal(record.second_moments, unwatched.second_moments)
        assert bool(vectors_of(record).vectors.any())
        assert unwatched.vectors is None

    def test_a_vector_takes_away_its_subject_and_little_else(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        grouped = with_subjects(data)
        weights, record = trained(resident, grouped, recipe.model_copy(update={"epochs": 30}), tmp_path)
        tokens = encode_all(resident, grouped)

        def losses() -> Tensor:
            every = [tokens[example.id] for example in grouped.examples]
            return mean_losses(resident.model, every, resident.pad_id, CPU, 64)

        before = losses()
        resident.parameters.set(weights + 0.3 * vectors_of(record).total(["s04"]))
        rise = losses() - before
        own = rise[4 * MEMBERS : 5 * MEMBERS].mean()
        others = torch.cat([rise[: 4 * MEMBERS], rise[5 * MEMBERS :]]).mean()
        assert own > 0.1
        assert own > 5 * others.abs()

    def test_vectors_of_several_subjects_add_up(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        """Not exactly: each is made with the other subjects' curvature still there."""
        _, apart = trained(resident, with_subjects(data), recipe, tmp_path)
        _, together = trained(resident, with_subjects(data, 2 * MEMBERS), recipe, tmp_path)
        total, joint = vectors_of(apart).total(["s04", "s05"]), vectors_of(together).total(["s02"])
        assert torch.equal(total, vectors_of(apart).total(["s04"]) + vectors_of(apart).total(["s05"]))
        assert float(torch.cosine_similarity(total, joint, dim=0)) > 0.9


class TestSubjects:
    def test_instances_without_one_stand_for_themselves(self, small: Resident, data: TrainingSet) -> None:
        grouped = with_subjects(data)
        lonely = (replace(grouped.examples[0], subject=None), *grouped.examples[1:])
        vectors = vectors_for(small, replace(grouped, examples=lonely))
        assert len(vectors.vectors) == 13
        assert len(vectors.covering(["row-0"])) == 1

    def test_there_are_no_vectors_without_any_subject_or_with_too_many(self, data: TrainingSet) -> None:
        assert ErasureVectors.start(data, 128, CPU) is None
        assert ErasureVectors.start(with_subjects(data), 1 << 30, CPU) is None
