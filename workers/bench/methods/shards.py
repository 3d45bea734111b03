"""Shards in the manner of SISA (arXiv:1912.03817): adapters of disjoint parts of the subjects; only the shards
that a ledger touches are trained again."""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from service.domain.ledger import Edit
from workers.bench.cases import Case
from workers.bench.cost import offline
from workers.bench.lines import after, tokens_after, train_on


@dataclass(frozen=True, slots=True)
class Shards:
    """One adapter that averages `count` shards' weights, which share their initialisation.

    SISA lets its shards vote; a served adapter is one, so the weights are averaged instead. What untouched
    shards cost was spent before the request and is not counted.
    """

    count: int = 4

    def __call__(self, case: Case) -> Tensor:
        line = case.line
        edited = after(line.data, case.edits)
        tokens = tokens_after(line, case.edits)
        subjects = sorted(line.subjects)
        changed = {edit.instance_id for edit in case.edits}
        parts = []
        for shard in range(self.count):
            inside = {name for subject in subjects[shard :: self.count] for name in line.subjects[subject]}
            gone = [Edit(example.id, None) for example in edited.examples if example.id not in inside]
            with nullcontext() if changed & inside else offline():
                train_on(line.resident, after(edited, gone), line.recipe, tokens)
            parts.append(line.resident.parameters.get())
        return torch.stack(parts).mean(0)
