"""How close to a retrain updates of a line are to be expected, tried on people nobody asked to forget.

Adapters that were trained without a group stand in for retrains, as in any cross-validation.
"""

from collections.abc import Iterator, Mapping
from statistics import median

from service.domain.engine import Anchor, Grade
from service.domain.ledger import Edit
from workers.engine.fidelity import distance, floor
from workers.engine.out_of_fold import OutOfFold
from workers.engine.preparation import Preparation
from workers.engine.record import TrainingRecord
from workers.engine.request import read_request
from workers.engine.resident import Resident
from workers.engine.update import solve

# Pseudo-requests, each for everything of one subject.
TRIALS = 4


def expected_fidelity(
    resident: Resident,
    anchor: Anchor,
    preparation: Preparation,
    record: TrainingRecord | None,
    folds: OutOfFold,
    *,
    budget: float,
) -> Mapping[str, float]:
    """The median fidelity of pseudo-requests by grade: of what the line has without folds, against two partitions;
    and of the out-of-fold grade, which may aim at the first partition only, against the second.

    Costs 8 updates. Leaves the anchor's weights in the resident, which holds them.
    """
    start = resident.parameters.get()
    first = OutOfFold({name: found[:1] for name, found in folds.found.items()}, folds.vocabulary)
    second = OutOfFold({name: found[1:] for name, found in folds.found.items()}, folds.vocabulary)
    found: dict[Grade, list[float]] = {}
    for edits in _pseudo_requests(anchor):
        request = read_request(resident, anchor, record, edits)
        apart = floor(request.removed, folds)
        if apart is None:
            continue
        for aimed, judged in ((None, folds), (first, second)):
            resident.parameters.set(start)
            solved = solve(resident, anchor, preparation, record, request, aimed, budget=budget)
            measured = distance(resident, request.removed, judged, solved.parameters) / apart
            found.setdefault(solved.grade, []).append(measured)
    resident.parameters.set(start)
    return {grade.value: median(values) for grade, values in found.items()}


def _pseudo_requests(anchor: Anchor) -> Iterator[tuple[Edit, ...]]:
    groups: dict[str, list[str]] = {}
    for example in anchor.data.examples:
        groups.setdefault(example.subject or f"instance {example.id}", []).append(example.id)
    names = sorted(groups)
    for name in names[:: max(1, len(names) // TRIALS)][:TRIALS]:
        yield tuple(Edit(instance_id, None) for instance_id in groups[name])
