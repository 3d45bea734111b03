"""What an answer is measured by: its predictions against those of adapters really retrained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from statistics import fmean

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from workers.bench.distance import relative_distance
from workers.bench.relearning import Relearning, relearning
from workers.engine.evaluation import adapter_losses
from workers.engine.losses import label_logits
from workers.engine.metrics.membership import membership_auc
from workers.engine.metrics.min_k import MIN_K
from workers.engine.metrics.observation import observe
from workers.engine.metrics.oracle import forget_quality, priv_leak
from workers.engine.predictions import kl_per_instance
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens, collate

BATCH = 60


@dataclass(frozen=True, slots=True)
class Groups:
    """`changed` holds removed instances and new contents; `forgotten` the old side of every change.

    `reworded` asks for removed instances in other words; it may be empty.
    """

    changed: Sequence[Tokens]
    forgotten: Sequence[Tokens]
    retained: Sequence[Tokens]
    unseen: Sequence[Tokens]
    reworded: Sequence[Tokens]

    @property
    def predicted(self) -> dict[str, Sequence[Tokens]]:
        """The groups on which predictions are compared, those that are there, by the ending of their figures."""
        named = {"": self.changed, "_retained": self.retained, "_unseen": self.unseen, "_reworded": self.reworded}
        return {name: group for name, group in named.items() if group}


class Measures(BaseModel):
    """How an answer compares with the oracles. Losses and divergences in nats a label token.

    `kl` is the mean over oracles of KL(oracle ‖ answer) on the changed instances, `floor` the mean KL between
    two oracles that differ in their seed alone, and `fidelity` their ratio: 1 is as close as another retrain.
    `fidelity_same_seed` is against the first oracle only. `membership_auc` sets the forgotten apart from
    never-seen instances by their loss. `priv_leak` (per cent) and `ks` compare Min-40 % scores with those of the first
    oracle, `ks_smallest_p` being the least that so few instances could give. `relearn_before` and `relearn_after`:
    `relearning`. `delta_distance` is relative to doing nothing.
    """

    # A method that diverges measures as infinite, and a plain JSON number cannot say so.
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    fidelity: float
    fidelity_same_seed: float
    fidelity_retained: float
    fidelity_unseen: float
    fidelity_reworded: float | None = None
    kl: float
    kl_retained: float
    kl_unseen: float
    kl_reworded: float | None = None
    floor: float
    floor_retained: float
    floor_unseen: float
    floor_reworded: float | None = None
    forget_loss: float
    oracle_forget_loss: float
    retained_loss: float
    oracle_retained_loss: float
    membership_auc: float
    oracle_membership_auc: float
    priv_leak: float | None
    ks_distance: float
    ks_p: float
    ks_smallest_p: float
    relearn_before: float | None = None
    relearn_after: float | None = None
    oracle_relearn_before: float | None = None
    oracle_relearn_after: float | None = None
    delta_distance: float


@dataclass(frozen=True, slots=True)
class Exam:
    """What one adapter measures by itself."""

    forget_loss: float
    retained_loss: float
    membership_auc: float
    relearning: Relearning | None

    def figures(self, prefix: str = "") -> dict[str, float | None]:
        relearned = self.relearning
        return {
            f"{prefix}forget_loss": self.forget_loss,
            f"{prefix}retained_loss": self.retained_loss,
            f"{prefix}membership_auc": self.membership_auc,
            f"{prefix}relearn_before": relearned.before if relearned else None,
            f"{prefix}relearn_after": relearned.after if relearned else None,
        }


@dataclass(frozen=True, slots=True)
class Scores:
    """Min-40 % scores of the forgotten [m] and of the never-seen [n] under one adapter."""

    forgotten: Tensor
    unseen: Tensor

    @classmethod
    def of(cls, resident: Resident, groups: Groups, weights: Tensor) -> "Scores":
        forgotten, unseen = (
            torch.tensor([MIN_K.score(one) for one in observe(resident, group, weights)])
            for group in (groups.forgotten, groups.unseen)
        )
        return cls(forgotten, unseen)

    def against(self, oracle: "Scores") -> dict[str, float | None]:
        """What only an oracle's scores can tell."""
        quality = forget_quality(self.forgotten.tolist(), oracle.forgotten.tolist())
        return {
            "priv_leak": priv_leak(self.forgotten, self.unseen, oracle.forgotten, oracle.unseen),
            "ks_distance": quality.distance,
            "ks_p": quality.p,
            "ks_smallest_p": quality.smallest_p,
        }


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The oracles' predictions on every group, the noise floors, and what the oracles themselves measure.

    Memory: 4·V bytes a label token and oracle, on the CPU.
    """

    resident: Resident
    groups: Groups
    anchor: Tensor
    oracles: Sequence[Tensor]
    expected: Mapping[str, Sequence[Sequence[Tensor]]]
    floors: Mapping[str, float]
    oracle: Mapping[str, float | None]
    scores: "Scores"

    @classmethod
    def of(cls, resident: Resident, groups: Groups, anchor: Tensor, oracles: Sequence[Tensor]) -> "Yardstick":
        """From at least two oracles [p], retrained on the same ledger under different seeds."""
        expected = {
            name: [_logprobs(resident, group, oracle) for oracle in oracles]
            for name, group in groups.predicted.items()
        }
        floors = {
            name: fmean(_divergence(groups.predicted[name], *pair) for pair in permutations(found, 2))
            for name, found in expected.items()
        }
        exams = [_examine(resident, groups, oracle).figures("oracle_") for oracle in oracles]
        scores = Scores.of(resident, groups, oracles[0])
        return cls(resident, groups, anchor, oracles, expected, floors, _means(exams), scores)

    def measure(self, candidate: Tensor) -> Measures:
        """Measures weights [p]; leaves the resident with any weights."""
        found: dict[str, float | None] = {**self.oracle}
        for name, group in self.groups.predicted.items():
            present = _logprobs(self.resident, group, candidate)
            apart = [_divergence(group, expected, present) for expected in self.expected[name]]
            floor = self.floors[name]
            found |= {f"kl{name}": fmean(apart), f"floor{name}": floor, f"fidelity{name}": fmean(apart) / floor}
            if not name:
                found["fidelity_same_seed"] = apart[0] / floor
        found |= _examine(self.resident, self.groups, candidate).figures()
        found |= Scores.of(self.resident, self.groups, candidate).against(self.scores)
        distances = [relative_distance(self.resident, candidate, oracle, self.anchor) for oracle in self.oracles]
        return Measures.model_validate({**found, "delta_distance": fmean(distances)})


def _examine(resident: Resident, groups: Groups, weights: Tensor) -> Exam:
    resident.parameters.set(weights)
    forgotten, retained, unseen = (
        adapter_losses(resident, group) for group in (groups.forgotten, groups.retained, groups.unseen)
    )
    # One instance cannot be halved.
    relearned = relearning(resident, groups.forgotten, weights) if len(groups.forgotten) > 1 else None
    return Exam(float(forgotten.mean()), float(retained.mean()), membership_auc(forgotten, unseen), relearned)


def _means(exams: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Figure by figure; none where it was not measured."""
    found: dict[str, float | None] = {}
    for name in exams[0]:
        values = [value for exam in exams if (value := exam[name]) is not None]
        found[name] = fmean(values) if values else None
    return found


@torch.no_grad()
def _logprobs(resident: Resident, tokens: Sequence[Tokens], weights: Tensor) -> list[Tensor]:
    """Log-probabilities [N, V] at the label positions, batch by batch."""
    resident.parameters.set(weights)
    resident.model.eval()
    found = []
    for start in range(0, len(tokens), BATCH):
        batch = collate(tokens[start : start + BATCH], resident.pad_id).to(resident.device)
        found.append(label_logits(resident.model, batch)[0].log_softmax(-1).cpu())
    return found


def _divergence(tokens: Sequence[Tokens], reference: Sequence[Tensor], present: Sequence[Tensor]) -> float:
    """Mean over instances of the mean over label tokens of KL(reference ‖ present)."""
    total = 0.0
    for start, one, other in zip(range(0, len(tokens), BATCH), reference, present, strict=True):
        part = tokens[start : start + BATCH]
        counts = torch.tensor([instance.label_count for instance in part])
        instance = torch.repeat_interleave(torch.arange(len(part)), counts)
        total += float(kl_per_instance(one, other, instance, len(part)).sum())
    return total / len(tokens)
