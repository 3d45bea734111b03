"""How far adapters are rewound or moved, measured again on one that memorised."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from service.domain.adapters import Recipe
from service.domain.engine import TrainingSet
from tests.workers.engine.small_data import encode_all, ignore_progress, never
from workers.engine.calibration import MAX_AMPLITUDE, MOVED, REWOUND, calibrate, expected_loss, goal_on_the_way
from workers.engine.erasure_vectors import ErasureVectors
from workers.engine.evaluation import adapter_losses, base_losses
from workers.engine.never_seen import NeverSeenLevel
from workers.engine.record import Checkpoint, TrainingRecord
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens
from workers.engine.training import train

pytestmark = pytest.mark.slow


@pytest.fixture
def trained(resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path) -> TrainingRecord:
    """The resident holds the adapter."""
    record = train(
        resident,
        data,
        recipe.model_copy(update={"epochs": 12}),
        encode_all(resident, data),
        checkpoint=tmp_path,
        progress=ignore_progress,
        should_yield=never,
    )
    assert isinstance(record, TrainingRecord)
    return record


@pytest.fixture
def anchor(resident: Resident, trained: TrainingRecord) -> Tensor:
    return resident.parameters.get()


@pytest.fixture
def tokens(resident: Resident, data: TrainingSet) -> dict[str, Tokens]:
    encoded = encode_all(resident, data)
    return {example.id: encoded[example.id] for example in data.examples}


@pytest.fixture
def level(resident: Resident, data: TrainingSet, anchor: Tensor) -> NeverSeenLevel:
    encoded = encode_all(resident, data)
    holdout = [encoded[example.id] for example in data.holdout]
    resident.parameters.set(anchor)
    return NeverSeenLevel.fit(base_losses(resident, holdout), adapter_losses(resident, holdout))


def loss(resident: Resident, tokens: dict[str, Tokens], weights: Tensor) -> float:
    resident.parameters.set(weights)
    return float(adapter_losses(resident, list(tokens.values())).mean())


def way(resident: Resident, tokens: dict[str, Tokens], level: NeverSeenLevel, anchor: Tensor, share: float) -> float:
    here, there = loss(resident, tokens, anchor), level.mean(base_losses(resident, list(tokens.values())))
    assert there > here + 1.0
    return here + share * (there - here)


def test_the_share_left_reaches_half_of_the_way(
    resident: Resident, anchor: Tensor, tokens: dict[str, Tokens], level: NeverSeenLevel
) -> None:
    found = calibrate(resident, anchor, tokens, None, level)
    goal = way(resident, tokens, level, anchor, REWOUND)
    assert 0 < found.share_left < 1
    assert loss(resident, tokens, found.share_left * anchor) <= goal + 1e-4
    assert loss(resident, tokens, (found.share_left - 1 / 16) * anchor) > goal
    assert found.measured


def test_the_checkpoint_is_the_one_nearest_to_half_of_the_way(
    resident: Resident, anchor: Tensor, trained: TrainingRecord, tokens: dict[str, Tokens], level: NeverSeenLevel
) -> None:
    rewound = calibrate(resident, anchor, tokens, None, level).share_left
    shares = (0.1, rewound, 0.9 * rewound, 1.0)
    moments = torch.ones_like(anchor)
    checkpoints = tuple(Checkpoint(index, share * anchor, moments) for index, share in enumerate(shares))
    found = calibrate(resident, anchor, tokens, replace(trained, checkpoints=checkpoints), level)
    goal = way(resident, tokens, level, anchor, REWOUND)
    gaps = [abs(loss(resident, tokens, share * anchor) - goal) for share in shares]
    assert found.checkpoint == gaps.index(min(gaps)) in (1, 2)


def test_without_a_record_there_is_neither_checkpoint_nor_vector(
    resident: Resident, anchor: Tensor, tokens: dict[str, Tokens], level: NeverSeenLevel
) -> None:
    found = calibrate(resident, anchor, tokens, None, level)
    assert (found.checkpoint, found.vectors_amplitude) == (None, None)


def test_the_amplitude_takes_subjects_as_far_as_they_should_go(
    resident: Resident, anchor: Tensor, trained: TrainingRecord, tokens: dict[str, Tokens], level: NeverSeenLevel
) -> None:
    """Everyone's vector undoes a twentieth of the adapter: how many it takes is known by measuring each."""
    subjects = {name: f"person {index % 3}" for index, name in enumerate(tokens)}
    vectors = ErasureVectors(subjects, -0.05 * anchor.expand(3, -1).clone())
    amplitude = calibrate(resident, anchor, tokens, replace(trained, vectors=vectors), level).vectors_amplitude
    goal = way(resident, tokens, level, anchor, MOVED)
    assert amplitude is not None
    assert 0 < amplitude <= MAX_AMPLITUDE
    assert loss(resident, tokens, (1 - 0.05 * amplitude) * anchor) <= goal + 1e-4
    if amplitude < MAX_AMPLITUDE:
        assert loss(resident, tokens, (1 - 0.05 * amplitude * 17 / 16) * anchor) > goal


def test_vectors_that_cannot_be_followed_at_all_are_not_used(
    resident: Resident, anchor: Tensor, trained: TrainingRecord, tokens: dict[str, Tokens], level: NeverSeenLevel
) -> None:
    vectors = ErasureVectors(dict.fromkeys(tokens, "all"), 1e9 * torch.ones(1, len(anchor)))
    assert calibrate(resident, anchor, tokens, replace(trained, vectors=vectors), level).vectors_amplitude is None


def test_without_a_holdout_the_base_stands_in_and_says_so(
    resident: Resident, anchor: Tensor, tokens: dict[str, Tokens]
) -> None:
    found = calibrate(resident, anchor, tokens, None, None)
    assert not found.measured
    every = list(tokens.values())
    assert expected_loss(base_losses(resident, every), None) == pytest.approx(
        float(base_losses(resident, every).mean())
    )


def test_the_anchors_weights_are_in_place_afterwards(
    resident: Resident, anchor: Tensor, trained: TrainingRecord, tokens: dict[str, Tokens], level: NeverSeenLevel
) -> None:
    calibrate(resident, anchor, tokens, trained, level)
    assert torch.equal(resident.parameters.get(), anchor)


def test_a_goal_is_never_below_where_the_anchor_is(
    resident: Resident, anchor: Tensor, tokens: dict[str, Tokens]
) -> None:
    easy = NeverSeenLevel(intercept=0.0, slope=0.0, deviation=0.0)
    here = loss(resident, tokens, anchor)
    assert goal_on_the_way(resident, list(tokens.values()), easy, anchor, 0.5) == pytest.approx(here)
