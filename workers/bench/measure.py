"""What an answer is measured by: its predictions against those of adapters really retrained."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from workers.bench.distance import relative_distance
from workers.engine.evaluation import adapter_losses
from workers.engine.losses import label_logits
from workers.engine.predictions import kl_per_instance
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens, collate

GROUPS = ("changed", "retained", "unseen", "reworded")
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

    def of(self, name: str) -> Sequence[Tokens]:
        return {"changed": self.changed, "retained": self.retained, "unseen": self.unseen, "reworded": self.reworded}[
            name
        ]


class Measures(BaseModel):
    """Fidelity: mean KL(oracle ‖ answer) over the oracles, in noise floors: the mean KL between two oracles.

    `fidelity` is on the changed instances; 1 is as close as another retrain. Losses in nats a token;
    membership AUC of the forgotten against never-seen instances by loss, 0.5 is chance;
    `delta_distance` is relative to doing nothing.
    """

    model_config = ConfigDict(frozen=True)

    fidelity: float
    fidelity_retained: float
    fidelity_unseen: float
    fidelity_reworded: float | None
    floor: float
    forget_loss: float
    oracle_forget_loss: float
    retained_loss: float
    oracle_retained_loss: float
    membership_auc: float
    oracle_membership_auc: float
    delta_distance: float


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The oracles' predictions on every group, the noise floors, and what the oracles themselves measure."""

    resident: Resident
    groups: Groups
    anchor: Tensor
    oracles: Sequence[Tensor]
    expected: dict[str, list[list[Tensor]]]
    floors: dict[str, float]
    forget_loss: float
    retained_loss: float
    auc: float

    @classmethod
    def of(cls, resident: Resident, groups: Groups, anchor: Tensor, oracles: Sequence[Tensor]) -> "Yardstick":
        """Two forward passes of every measured instance an oracle. Memory: 4·V bytes a label token and oracle."""
        expected = {name: [_logprobs(resident, groups.of(name), oracle) for oracle in oracles] for name in GROUPS}
        floors = {
            name: _mean([_divergence(resident, groups.of(name), one, other) for one, other in permutations(found, 2)])
            for name, found in expected.items()
        }
        forgotten, retained, unseen = (
            [_losses(resident, group, oracle) for oracle in oracles]
            for group in (groups.forgotten, groups.retained, groups.unseen)
        )
        return cls(
            resident=resident,
            groups=groups,
            anchor=anchor,
            oracles=oracles,
            expected=expected,
            floors=floors,
            forget_loss=_mean([float(losses.mean()) for losses in forgotten]),
            retained_loss=_mean([float(losses.mean()) for losses in retained]),
            auc=_mean([membership_auc(*pair) for pair in zip(forgotten, unseen, strict=True)]),
        )

    def measure(self, candidate: Tensor) -> Measures:
        """Measures weights [p]."""
        fidelity = {name: self._fidelity(name, candidate) for name in GROUPS if self.groups.of(name)}
        forgotten, retained, unseen = (
            _losses(self.resident, group, candidate)
            for group in (self.groups.forgotten, self.groups.retained, self.groups.unseen)
        )
        distances = [relative_distance(self.resident, candidate, oracle, self.anchor) for oracle in self.oracles]
        return Measures(
            fidelity=fidelity["changed"],
            fidelity_retained=fidelity["retained"],
            fidelity_unseen=fidelity["unseen"],
            fidelity_reworded=fidelity.get("reworded"),
            floor=self.floors["changed"],
            forget_loss=float(forgotten.mean()),
            oracle_forget_loss=self.forget_loss,
            retained_loss=float(retained.mean()),
            oracle_retained_loss=self.retained_loss,
            membership_auc=membership_auc(forgotten, unseen),
            oracle_membership_auc=self.auc,
            delta_distance=_mean(distances),
        )

    def _fidelity(self, name: str, candidate: Tensor) -> float:
        group = self.groups.of(name)
        present = _logprobs(self.resident, group, candidate)
        apart = [_divergence(self.resident, group, expected, present) for expected in self.expected[name]]
        return _mean(apart) / self.floors[name]


def membership_auc(members: Tensor, unseen: Tensor) -> float:
    """How often an instance [m] has a lower loss than one never seen [n], ties counting half (Mann–Whitney)."""
    lower = (members[:, None] < unseen).double().mean()
    ties = (members[:, None] == unseen).double().mean()
    return float(lower + ties / 2)


@torch.no_grad()
def _logprobs(resident: Resident, tokens: Sequence[Tokens], weights: Tensor) -> list[Tensor]:
    """Log-probabilities [N, V] at the label positions, batch by batch."""
    resident.parameters.set(weights)
    found = []
    for start in range(0, len(tokens), BATCH):
        batch = collate(tokens[start : start + BATCH], resident.pad_id).to(resident.device)
        found.append(label_logits(resident.model, batch)[0].log_softmax(-1).cpu())
    return found


def _divergence(
    resident: Resident, tokens: Sequence[Tokens], reference: Sequence[Tensor], present: Sequence[Tensor]
) -> float:
    """Mean over instances of the mean over label tokens of KL(reference ‖ present)."""
    if not tokens:
        return float("nan")
    total = 0.0
    for start, one, other in zip(range(0, len(tokens), BATCH), reference, present, strict=True):
        part = tokens[start : start + BATCH]
        counts = torch.tensor([instance.label_count for instance in part])
        instance = torch.repeat_interleave(torch.arange(len(part)), counts)
        total += float(kl_per_instance(one, other, instance, len(part)).sum())
    return total / len(tokens)


def _losses(resident: Resident, tokens: Sequence[Tokens], weights: Tensor) -> Tensor:
    resident.parameters.set(weights)
    return adapter_losses(resident, tokens)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
