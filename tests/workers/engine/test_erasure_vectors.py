"""Erasure vectors: the recursion against dense algebra, and training that is none the worse for them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from service.domain.adapters import Recipe
from service.domain.engine import TrainingSet, Yielded
from tests.workers.engine.small_data import CPU, encode_all, ignore_progress, never
from workers.engine.erasure_vectors import ErasureVectors
from workers.engine.fisher import instance_gradients
from workers.engine.gradients import weighted_gradient
from workers.engine.losses import instance_losses
from workers.engine.observed import fisher_scales, observed_gradient
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.tokens import collate
from workers.engine.training import train

SUBJECTS = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
P = 12


def by_subject(data: TrainingSet, size: int = 3) -> TrainingSet:
    examples = [replace(example, subject=f"s{index // size}") for index, example in enumerate(data.examples)]
    return replace(data, examples=tuple(examples))


def run(resident: Resident, data: TrainingSet, recipe: Recipe, place: Path) -> TrainingRecord:
    tokens = encode_all(resident, data)
    record = train(resident, data, recipe, tokens, checkpoint=place, progress=ignore_progress, should_yield=never)
    assert isinstance(record, TrainingRecord)
    return record


class TestRecursion:
    def test_a_step_is_the_dense_implicit_step_without_the_subjects_own_curvature(self) -> None:
        generator = torch.Generator().manual_seed(0)
        vectors = ErasureVectors(SUBJECTS, torch.randn(3, P, generator=generator, dtype=torch.float64))
        before = vectors.vectors.clone()
        ids = ["a1", "c1", "a2"]
        parts = torch.randn(3, P, generator=generator, dtype=torch.float64)
        batch = vectors.batch(ids, parts, [1.5, 0.5, 2.0])
        preconditioner = torch.rand(P, generator=generator, dtype=torch.float64) + 0.1
        vectors.step(batch, preconditioner)
        for position, subject in enumerate("abc"):
            own = [index for index, name in enumerate(ids) if SUBJECTS[name] == subject]
            rest = [index for index in range(3) if index not in own]
            curvature = batch.rows[rest].T @ batch.rows[rest]
            right = before[position] + preconditioner * parts[own].sum(0)
            expected = torch.linalg.solve(torch.eye(P).double() + preconditioner[:, None] * curvature, right)
            assert torch.allclose(vectors.vectors[position], expected, rtol=1e-9, atol=1e-12)

    def test_only_whole_subjects_are_covered(self) -> None:
        vectors = ErasureVectors(SUBJECTS, torch.zeros(3, P))
        assert vectors.covering(["a1", "a2", "b1"]) == {"a", "b"}
        assert vectors.covering(["a1", "c1"]) == {"c"}
        assert vectors.covering([]) == set()

    def test_several_subjects_add_up(self) -> None:
        vectors = ErasureVectors(SUBJECTS, torch.arange(3.0)[:, None] * torch.ones(3, P))
        assert torch.equal(vectors.total({"b", "c"}), torch.full((P,), 3.0))


class TestObserving:
    def test_the_gradient_is_bit_equal_and_is_the_sum_of_its_parts(
        self, resident: Resident, data: TrainingSet
    ) -> None:
        resident.initialise(seed=0)
        tokens = list(encode_all(resident, data).values())[:6]
        coefficients = [0.1, 0.2, 0.3, 0.1, 0.2, 0.1]
        resident.micro_batch.size = 4
        gradient, parts = observed_gradient(resident, tokens, coefficients)
        assert torch.equal(gradient, weighted_gradient(resident, tokens, coefficients))
        assert torch.allclose(parts.sum(0), gradient, atol=1e-6)
        with instance_gradients(resident, 6) as alone:
            instance_losses(resident.model, collate(tokens, resident.pad_id)).sum().backward()
        assert torch.allclose(parts[2] / 0.3, alone[2], rtol=1e-4, atol=1e-6)

    def test_rows_estimate_the_curvature_of_a_token_mean(self, resident: Resident, data: TrainingSet) -> None:
        tokens = list(encode_all(resident, data).values())[:2]
        assert fisher_scales(tokens, [0.5, 0.25]) == [
            (t.label_count / c) ** 0.5 for t, c in zip(tokens, [0.5, 0.25], strict=True)
        ]


@pytest.mark.slow
class TestTraining:
    def test_the_adapter_is_bit_equal_with_and_without(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        named = by_subject(data)
        with_vectors = run(resident, named, recipe, tmp_path)
        first = resident.parameters.get()
        without = run(resident, named, recipe.model_copy(update={"erasure_vectors": False}), tmp_path)
        assert with_vectors.vectors is not None
        assert without.vectors is None
        assert torch.equal(first, resident.parameters.get())

    def test_without_subjects_there_are_none(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        assert run(resident, data, recipe, tmp_path).vectors is None

    def test_an_interrupted_run_ends_with_the_same_vectors(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        named, tokens = by_subject(data), encode_all(resident, data)
        expected = run(resident, named, recipe, tmp_path / "whole").vectors
        checkpoint = tmp_path / "part"
        first = train(
            resident,
            named,
            recipe,
            tokens,
            checkpoint=checkpoint,
            progress=ignore_progress,
            should_yield=lambda: True,
        )
        assert isinstance(first, Yielded)
        rest = train(
            resident,
            named,
            recipe,
            tokens,
            checkpoint=checkpoint,
            resume=checkpoint,
            progress=ignore_progress,
            should_yield=never,
        )
        assert isinstance(rest, TrainingRecord)
        assert expected is not None
        assert rest.vectors is not None
        assert torch.equal(rest.vectors.vectors, expected.vectors)

    def test_they_survive_the_record_on_disk(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        record = run(resident, by_subject(data), recipe, tmp_path)
        record.save(tmp_path / "record")
        vectors = TrainingRecord.load(tmp_path / "record").vectors
        assert record.vectors is not None
        assert vectors is not None
        assert vectors.subjects == record.vectors.subjects
        assert torch.equal(vectors.to(CPU).vectors, record.vectors.vectors)
