"""Predictions cut down to their likeliest tokens: how little is lost, and making labels less likely, by hand."""

import math

import pytest
import torch

from workers.engine.top_predictions import TopPredictions, geometric_mean, joined


def random_logprobs(seed: int, positions: int = 40, vocabulary: int = 500) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(positions, vocabulary, generator=generator)).log_softmax(-1)


def kl(reference: torch.Tensor, logprobs: torch.Tensor) -> torch.Tensor:
    return (reference.exp() * (reference - logprobs)).sum(-1)


def test_the_divergence_is_nearly_the_whole_one() -> None:
    target, present = random_logprobs(1), random_logprobs(2)
    found = TopPredictions.of(target).kl(present).mean()
    assert float(found) == pytest.approx(float(kl(target, present).mean()), rel=0.05)


def test_the_divergence_is_never_above_the_whole_one() -> None:
    target, present = random_logprobs(1), random_logprobs(2)
    assert (TopPredictions.of(target, 8).kl(present) <= kl(target, present) + 1e-5).all()


def test_the_same_predictions_are_not_apart() -> None:
    target = random_logprobs(1)
    assert float(TopPredictions.of(target).kl(target).abs().max()) < 1e-5


def test_a_certain_prediction_gives_finite_numbers() -> None:
    certain = torch.full((1, 100), -torch.inf).index_fill(1, torch.tensor([3]), 0.0).log_softmax(-1)
    assert torch.isfinite(TopPredictions.of(certain).kl(random_logprobs(1, 1, 100))).all()


def test_the_divergence_has_a_gradient() -> None:
    logits = random_logprobs(2).clone().requires_grad_()
    TopPredictions.of(random_logprobs(1)).kl(logits.log_softmax(-1)).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_the_geometric_mean_is_that_of_the_whole_predictions() -> None:
    one, other = random_logprobs(1), random_logprobs(2)
    found = geometric_mean([TopPredictions.of(one, 400), TopPredictions.of(other, 400)], 500)
    whole = ((one + other) / 2).log_softmax(-1)
    assert float(kl(whole, found.spread(500)).mean()) < 0.01


def test_one_prediction_is_its_own_mean() -> None:
    only = TopPredictions.of(random_logprobs(1))
    assert geometric_mean([only], 500) is only


def by_hand() -> TopPredictions:
    """Two positions over ten tokens: 0.5 and 0.3 for tokens 7 and 2, 0.2 for the eight others; and 0.6, 0.1, 0.3."""
    return TopPredictions(
        torch.tensor([[7, 2], [4, 9]]),
        torch.tensor([[0.5, 0.3], [0.6, 0.1]]).log(),
        torch.tensor([0.2, 0.3]).log(),
    )


def test_the_surprise_is_that_of_the_label() -> None:
    found = by_hand().surprise(torch.tensor([2, 4]))
    torch.testing.assert_close(found, torch.tensor([-math.log(0.3), -math.log(0.6)]))


def test_a_label_that_was_cut_off_is_as_likely_as_all_that_was() -> None:
    found = by_hand().surprise(torch.tensor([0, 1]))
    torch.testing.assert_close(found, torch.tensor([-math.log(0.2), -math.log(0.3)]))


def test_the_surprise_of_what_is_kept_is_the_cross_entropy() -> None:
    whole = random_logprobs(1)
    labels = whole.topk(5).indices[:, 4]
    torch.testing.assert_close(TopPredictions.of(whole).surprise(labels), -whole.gather(-1, labels[:, None])[:, 0])


def test_a_lowered_label_loses_odds_and_the_others_keep_theirs() -> None:
    """Token 2 at a quarter of its odds: 0.075 beside 0.5 and 0.2. The other label was cut off."""
    found = by_hand().lowered(torch.tensor([2, 0]), math.log(4))
    total = 0.5 + 0.075 + 0.2
    torch.testing.assert_close(found.logprobs[0].exp(), torch.tensor([0.5 / total, 0.075 / total]))
    torch.testing.assert_close(found.rest.exp(), torch.tensor([0.2 / total, 0.3]))
    torch.testing.assert_close(found.logprobs[1], by_hand().logprobs[1])


def test_what_is_lowered_is_a_distribution_still() -> None:
    labels = torch.full((40,), 3)
    found = TopPredictions.of(random_logprobs(1)).lowered(labels, 5.0)
    torch.testing.assert_close(found.logprobs.exp().sum(-1) + found.rest.exp(), torch.ones(40))


def test_lowering_by_nothing_changes_nothing() -> None:
    found = by_hand().lowered(torch.tensor([7, 4]), 0.0)
    torch.testing.assert_close(found.logprobs, by_hand().logprobs)
    torch.testing.assert_close(found.rest, by_hand().rest)


def test_positions_are_joined_and_split_in_order() -> None:
    every = joined([by_hand(), by_hand()])
    assert every.tokens.tolist() == [[7, 2], [4, 9], [7, 2], [4, 9]]
    assert [one.tokens.tolist() for one in every.split([3, 1])] == [[[7, 2], [4, 9], [7, 2]], [[4, 9]]]
