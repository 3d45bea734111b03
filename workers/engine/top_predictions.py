"""Predictions cut down to their likeliest tokens and the mass of all others, and distances to them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

TOP = 64
# The least log-probability that is told apart: what half precision rounds further down carries no weight.
LEAST = -30.0


@dataclass(frozen=True, slots=True)
class TopPredictions:
    """At N label positions: the k likeliest tokens [N, k] int64, their log-probabilities [N, k] fp32, and the
    logarithm of what all other tokens have together [N]."""

    tokens: Tensor
    logprobs: Tensor
    rest: Tensor

    @classmethod
    def of(cls, logprobs: Tensor, top: int = TOP, keep: Tensor | None = None) -> "TopPredictions":
        """Cuts log-probabilities [N, V]. With fewer than two tokens to spare there is nothing to cut off.

        `keep` [N] names a token a position that stays however unlikely it is.
        """
        ranked = logprobs if keep is None else logprobs.scatter(-1, keep[:, None], math.inf)
        tokens = ranked.topk(min(top, logprobs.shape[-1] - 1), dim=-1).indices
        kept = logprobs.gather(-1, tokens).clamp(min=LEAST)
        return cls(tokens, kept, _others(logprobs, tokens).clamp(min=LEAST))

    def kl(self, logprobs: Tensor) -> Tensor:
        """KL(these ‖ logprobs) [N] for log-probabilities [N, V], the other tokens taken as one.

        Never above the whole KL, since lumping outcomes together only loses information. Memory: 4·N·V bytes.
        """
        top = (self.logprobs.exp() * (self.logprobs - logprobs.gather(-1, self.tokens))).sum(-1)
        return top + self.rest.exp() * (self.rest - _others(logprobs, self.tokens))

    def spread(self, vocabulary: int) -> Tensor:
        """Log-probabilities [N, V], the rest shared equally among the tokens that were cut off."""
        others = max(1, vocabulary - self.tokens.shape[-1])
        flat = (self.rest - math.log(others))[:, None].expand(-1, vocabulary)
        return flat.scatter(-1, self.tokens, self.logprobs).log_softmax(-1)

    def surprise(self, labels: Tensor) -> Tensor:
        """−log p(label) [N]; a label that was cut off counts as likely as all that was: never too surprising.

        Labels [N] are on the same device.
        """
        found = self.tokens == labels[:, None]
        named = self.logprobs.masked_fill(~found, -math.inf).logsumexp(-1)
        return -torch.where(found.any(-1), named, self.rest)

    def lowered(self, labels: Tensor, by: float) -> "TopPredictions":
        """With every label's logit less by so much; labels among the tokens that were cut off stay as they are."""
        logprobs = self.logprobs - by * (self.tokens == labels[:, None]).to(self.logprobs.dtype)
        total = torch.cat([logprobs, self.rest[:, None]], -1).logsumexp(-1)
        return TopPredictions(self.tokens, logprobs - total[:, None], self.rest - total)

    def split(self, counts: Sequence[int]) -> "list[TopPredictions]":
        """The positions cut into stretches of these lengths."""
        cut = (torch.split(tensor, list(counts)) for tensor in (self.tokens, self.logprobs, self.rest))
        return [TopPredictions(*one) for one in zip(*cut, strict=True)]

    def to(self, device: torch.device) -> "TopPredictions":
        return TopPredictions(self.tokens.to(device), self.logprobs.to(device), self.rest.to(device))


def geometric_mean(several: Sequence[TopPredictions], vocabulary: int, keep: Tensor | None = None) -> TopPredictions:
    """The normalised geometric mean of predictions of the same positions; `keep` as in `of`."""
    if len(several) == 1:
        return several[0]
    spread = torch.stack([one.spread(vocabulary) for one in several])
    return TopPredictions.of(spread.mean(0).log_softmax(-1), several[0].tokens.shape[-1], keep)


def joined(several: Sequence[TopPredictions]) -> TopPredictions:
    """The positions of several predictions, one after the other."""
    return TopPredictions(
        torch.cat([one.tokens for one in several]),
        torch.cat([one.logprobs for one in several]),
        torch.cat([one.rest for one in several]),
    )


def _others(logprobs: Tensor, tokens: Tensor) -> Tensor:
    """log Σ p [N] over all tokens but the given ones [N, k]. A sum of what is there, not one minus what is not:
    that would lose all digits where little is left."""
    return logprobs.scatter(-1, tokens, -math.inf).logsumexp(-1).clamp(min=LEAST)
