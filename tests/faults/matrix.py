"""Which points each test of the matrix covers, and its cases: point × fault × database."""

import pytest

BACKENDS = ("sqlite", "postgres")
FAULTS = ("kill", "stop", "raise")


def both(*commits: str) -> tuple[str, ...]:
    """The points before and after these commits."""
    return tuple(f"{name}.{when}_commit" for name in commits for when in ("before", "after"))


INTAKE = both("create", "inbound")
CONTROL = (
    *both("relay", "take_back", "hint_again", "housekeeping", "forget_copy"),
    "relay.hinted",
    "sweep.deleted",
)
SENDER = (*both("fan_out", "take_delivery", "settle_delivery"), "sender.posted")
ANSWER = (
    *both("claim", "renew", "progress", "answer"),
    "child.received",
    "child.computed",
    "store.drafted",
    "store.copied",
)
GIVEN_UP = both("fail")
HANDED_BACK = both("hand_back")
COMPACTION = both("make_room", "rebuild")
TRAINING = both("anchor")
FOLDS = both("fold")
GROUPS = (INTAKE, CONTROL, SENDER, ANSWER, GIVEN_UP, HANDED_BACK, COMPACTION, TRAINING, FOLDS)

# What `make test` runs too: each process once, each fault once, both databases.
SAMPLE = {
    ("create.after_commit", "kill", "postgres"),
    ("relay.hinted", "kill", "sqlite"),
    ("take_back.before_commit", "stop", "postgres"),
    ("sender.posted", "raise", "sqlite"),
    ("answer.before_commit", "kill", "sqlite"),
}


ON_EACH = [
    pytest.param("sqlite", marks=pytest.mark.xdist_group("sqlite")),
    pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.xdist_group("postgres")]),
]


def cases(points: tuple[str, ...], backends: tuple[str, ...] = BACKENDS) -> list[object]:
    """Parameters `point`, `fault` and `backend`. Those of one database share what was trained on it."""
    return [
        pytest.param(point, fault, backend, marks=_marks(point, fault, backend), id=f"{point}-{fault}-{backend}")
        for backend in backends
        for point in points
        for fault in FAULTS
    ]


def _marks(point: str, fault: str, backend: str) -> list[pytest.MarkDecorator]:
    marks = [pytest.mark.xdist_group(backend)]
    if (point, fault, backend) not in SAMPLE:
        marks.append(pytest.mark.matrix)
    if backend == "postgres":
        marks.append(pytest.mark.postgres)
    return marks
