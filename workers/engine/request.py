"""A ledger as the engine reads it: encoded changes, and whom to measure them on."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from service.domain import ledger
from service.domain.engine import Anchor, Example
from service.domain.ledger import Edit
from workers.engine.errors import EngineRefusal
from workers.engine.mend import BATCH, MOST
from workers.engine.metrics.groups import Groups
from workers.engine.metrics.tier_two import Texts
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.right_hand_side import Change, canonical_changes, instance_weights
from workers.engine.tokens import Tokens, encode

# A random sample of what stays, to measure on.
MEASURE_SAMPLE = 96
# Instances whose values may stand in for one another, where tier 2 asks for a value among others of its type.
VALUES_SAMPLE = 512


@dataclass(frozen=True, slots=True)
class Request:
    """The ledger in tokens, and seeded samples of the `retained` that it leaves alone: some are measured, and `others`
    are there to mend on, so that no measurement flatters."""

    changes: tuple[Change, ...]
    retained: int
    others: tuple[Tokens, ...]
    measured: Groups
    texts: Texts
    seed: int

    @property
    def removed(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.new is None)


def read_request(resident: Resident, anchor: Anchor, record: TrainingRecord | None, edits: Sequence[Edit]) -> Request:
    """Encodes the canonical ledger and a sample of what it leaves alone."""
    canonical = ledger.canonical(edits)
    examples = {example.id: example for example in anchor.data.examples}
    unknown = [edit.instance_id for edit in canonical if edit.instance_id not in examples]
    if unknown:
        raise EngineRefusal("unknown_instance", f"The anchor was not trained on {len(unknown)} of the instances.")

    def tokens(chosen: Sequence[Example]) -> list[Tokens]:
        return [encode(resident.tokenizer, example.content, anchor.data.format) for example in chosen]

    old = dict(
        zip(
            (edit.instance_id for edit in canonical),
            tokens([examples[edit.instance_id] for edit in canonical]),
            strict=True,
        )
    )
    new = {
        edit.instance_id: None if edit.new is None else encode(resident.tokenizer, edit.new, anchor.data.format)
        for edit in canonical
    }
    changes = canonical_changes(new, old, instance_weights(list(examples), record))
    seed = int(ledger.digest(canonical)[:15], 16)
    kept = [examples[name] for name in sorted(examples.keys() - old.keys())]
    order = torch.randperm(len(kept), generator=torch.Generator().manual_seed(seed)).tolist()
    sample = [kept[index] for index in order]
    measured = Groups(
        forget=[change.old for change in changes if change.new is None],
        corrected=[change.new for change in changes if change.new is not None],
        retained=tokens(sample[:MEASURE_SAMPLE]),
        holdout=tokens(anchor.data.holdout[:MEASURE_SAMPLE]),
    )
    texts = Texts(
        removed=[examples[change.instance_id].content for change in changes if change.new is None],
        holdout=[example.content for example in anchor.data.holdout[:MEASURE_SAMPLE]],
        others=[example.content for example in sample[:VALUES_SAMPLE]],
        format=anchor.data.format,
        seed=seed,
    )
    others = tuple(tokens(sample[MEASURE_SAMPLE : MEASURE_SAMPLE + BATCH * MOST]))
    return Request(changes, len(kept), others, measured, texts, seed)
