"""Which grade of preparation an update of a line can use, and how close to a retrain it is expected to come."""

from service.domain.engine import Grade
from service.domain.fidelity import Prediction, predict
from service.flows.match import LineMatch
from service.store.database import Unit


def predict_update(unit: Unit, match: LineMatch) -> Prediction | None:
    """What is expected of an influence update for this request; None where the line's grades are not known yet.

    Expectations were measured on removals, so they say nothing of a request that only corrects.
    """
    removed = {instance_id for instance_id, new in match.edits.items() if new is None}
    supported = {c["name"] for c in match.version.capabilities or () if c["supported"]}
    grades = [grade for grade in Grade if grade in supported and _fits(unit, match, grade, removed)]
    expected = (match.version.measurements or {}).get("predicted_fidelity") or {}
    return predict(grades, expected if removed else {})


def _fits(unit: Unit, match: LineMatch, grade: Grade, removed: set[str]) -> bool:
    """Erasure vectors stand for subjects that go as a whole, out-of-fold predictions for whatever goes."""
    if grade is Grade.trajectory:
        return bool(removed) and _removes_whole_subjects(unit, match, removed)
    return grade is Grade.end_point or bool(removed)


def _removes_whole_subjects(unit: Unit, match: LineMatch, removed: set[str]) -> bool:
    """Whether every removed instance has a subject, and nothing of these subjects stays."""
    dataset_id = match.dataset.id
    subjects = unit.datasets.subjects_around(dataset_id, removed)
    others = subjects.keys() - removed
    gone = {e.instance_id for e in unit.ledger.of_instances(match.line.id, dataset_id, others) if e.text_id is None}
    kept = {subjects[instance_id] for instance_id in others - gone}
    return all(instance_id in subjects and subjects[instance_id] not in kept for instance_id in removed)
