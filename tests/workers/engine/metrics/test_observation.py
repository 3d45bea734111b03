"""One forward pass: what it keeps of every label token, and of nothing else."""

import zlib

import pytest
import torch

from tests.workers.engine.small_data import INSTANCES
from workers.engine.evaluation import adapter_losses
from workers.engine.losses import label_logits
from workers.engine.metrics.observation import compressed_size, observations, observe, observe_both, with_base
from workers.engine.predictions import shift
from workers.engine.resident import Resident
from workers.engine.tokens import Batch, Tokens, collate

SIZES = [9, 9, 9]


def both(resident: Resident) -> tuple[torch.Tensor, torch.Tensor]:
    start = resident.parameters.get()
    return start, 0.5 * start


def test_its_loss_is_the_loss_of_training(small: Resident) -> None:
    found = [one.nll for one in observe(small, INSTANCES, both(small)[0], SIZES)]
    assert found == pytest.approx(adapter_losses(small, INSTANCES).tolist(), rel=1e-5)


def test_it_does_not_depend_on_the_micro_batch(small: Resident) -> None:
    start, _ = both(small)
    whole = observe(small, INSTANCES, start, SIZES)
    small.micro_batch.size = 1
    for one, other in zip(whole, observe(small, INSTANCES, start, SIZES), strict=True):
        for name in ("logprobs", "mean", "deviation"):
            torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-4, atol=1e-5)
        assert torch.equal(one.correct, other.correct)


def test_moments_are_those_of_a_draw_from_the_prediction(small: Resident) -> None:
    batch = collate(INSTANCES, small.pad_id)
    logprobs = label_logits(small.model, batch)[0].log_softmax(-1).detach()
    (first, *_) = observations(logprobs, batch, [1, 1, 1])
    p = logprobs[0].double().exp()
    mean = float((p * p.log()).sum())
    assert float(first.mean[0]) == pytest.approx(mean, rel=1e-4)
    assert float(first.deviation[0]) == pytest.approx(float((p * (p.log() - mean) ** 2).sum().sqrt()), rel=1e-3)


def test_a_token_without_probability_leaves_the_moments_finite() -> None:
    logprobs = torch.tensor([[0.0, float("-inf")]])
    batch = Batch(*(torch.tensor([row]) for row in ([1, 0], [1, 1], [-100, 0])))
    (found,) = observations(logprobs, batch, [1])
    assert (float(found.mean), float(found.deviation), bool(found.correct)) == (0.0, 0.0, True)


def test_two_weights_are_compared_as_the_trust_region_does(small: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.engine.metrics.observation.compressed_size", lambda *_: 9)
    start, end = both(small)
    moved, expected = observe_both(small, INSTANCES, start, end), shift(small, INSTANCES, start, end)
    assert sum(moved.divergences) / 3 == pytest.approx(expected.divergence, rel=1e-4)
    assert sum(one.nll for one in moved.before) / 3 == pytest.approx(expected.before, rel=1e-5)
    assert sum(one.nll for one in moved.after) / 3 == pytest.approx(expected.after, rel=1e-5)
    assert torch.equal(small.parameters.get(), end)


def test_the_compressed_text_is_that_of_the_labels(resident: Resident) -> None:
    tokens = Tokens((5, 6, 40, 41, 42), (-100, -100, 40, 41, 42))
    text = str(resident.tokenizer.decode([40, 41, 42]))
    assert compressed_size(resident, tokens) == len(zlib.compress(text.encode()))


def test_base_losses_are_put_beside(small: Resident) -> None:
    found = with_base(observe(small, INSTANCES, both(small)[0], SIZES), torch.tensor([1.0, 2.0, 3.0]))
    assert [one.base_loss for one in found] == [1.0, 2.0, 3.0]


def test_of_nothing_there_are_no_observations(small: Resident) -> None:
    start, end = both(small)
    assert observe(small, [], start) == []
    assert observe_both(small, [], start, end).divergences == []
