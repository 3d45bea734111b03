"""What says nearly the same as instances that are to go, and would stay: for people to look at before they ask."""

from dataclasses import dataclass

from service.evidence.minhash import nearest, stacked
from service.flows.match import LineMatch
from service.flows.training_data import edited
from service.store.database import Unit

# Below it texts share a template rather than a fact; the sketches' error is 0.06.
THRESHOLD = 0.6
MOST = 100


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """An instance that would stay, and the removed one `of` which it is most nearly a copy."""

    instance_id: str
    of: str
    similarity: float


def near_duplicates(unit: Unit, found: LineMatch) -> list[NearDuplicate]:
    """The nearest of what the line is trained on and the match does not touch, most similar first.

    Sketches are of the texts as they were uploaded; corrections since are not looked at.
    """
    removed = {name for name, new in found.edits.items() if new is None}
    sketches = unit.datasets.sketches(found.dataset.id) if removed else {}
    before = edited(unit.ledger.of_line(found.line.id), found.dataset.id)
    gone = [name for name in sorted(removed) if name in sketches]
    others = [name for name in sketches if name not in found.edits and not before.is_removed(name)]
    if not gone or not others:
        return []
    alike, which = nearest(stacked([sketches[n] for n in others]), stacked([sketches[n] for n in gone]))
    near = [
        NearDuplicate(others[position], gone[which[position]], float(alike[position]))
        for position in (alike >= THRESHOLD).nonzero()[0]
    ]
    return sorted(near, key=lambda one: (-one.similarity, one.instance_id))[:MOST]
