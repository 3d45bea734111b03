"""Named places where a process can be made to fail on purpose, so that tests can show that nothing is lost there.

They are armed by one environment variable of the process alone, read once when it starts:

    LETHE_FAILPOINTS="answer.before_commit=kill relay.hinted=raise@/tmp/fired"

No setting, request, row or message reaches it: whoever can set it can end the process anyway. Unset, a point costs one
look at an empty dictionary. After `@` stands a file: the point then fires only for whoever creates that file, so once
among all processes and attempts, and the file tells that it did. Without one it fires every time, as a full disk or a
poisonous input does.
"""

import errno
import logging
import os
import pkgutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

VARIABLE = "LETHE_FAILPOINTS"

# The transactions by which a request makes its way, each with a point before and one after its commit.
COMMITS: Mapping[str, str] = MappingProxyType(
    {
        "create": "the API answers a creating POST, such as an unlearning request",
        "inbound": "a webhook asked for a deletion, and that is filed",
        "relay": "hints that went to Redis are marked as sent",
        "claim": "a worker takes a run",
        "renew": "a worker renews its lease",
        "progress": "a worker tells how far it is",
        "answer": "an update is published, or escalates",
        "anchor": "a first anchor is published",
        "rebuild": "a rebuilt anchor takes over, with the tail re-solved on it",
        "fold": "a fold's predictions are kept",
        "make_room": "a rebuild or a fold yields, its checkpoint being stored",
        "hand_back": "a worker gives a run back that it did not fail on",
        "fail": "a worker gives a run up",
        "take_back": "the reconciler takes a run from a worker that fell silent",
        "hint_again": "the reconciler hints again at a run nobody heard of",
        "housekeeping": "the reconciler queues what is missing or due",
        "forget_copy": "what was swept is not referred to any more",
        "fan_out": "deliveries are made of events",
        "take_delivery": "a sender takes a delivery",
        "settle_delivery": "a sender notes what came of it",
    }
)

# What happens between two commits and can be cut off too.
STEPS: Mapping[str, str] = MappingProxyType(
    {
        "relay.hinted": "the hint is in Redis, and not yet marked as sent",
        "child.received": "the engine child has a job, and has not begun",
        "child.computed": "the engine child has a result, and has not told it",
        "store.drafted": "a blob is written, and not yet in its place",
        "store.copied": "all blobs of a tree are in place, and its manifest is not",
        "sweep.deleted": "bytes are gone that a row still refers to",
        "sender.posted": "a webhook was sent, and that is not yet noted",
    }
)

POINTS = frozenset(STEPS) | {f"{name}.{when}_commit" for name in COMMITS for when in ("before", "after")}

log = logging.getLogger(__name__)


class FailPointError(RuntimeError):
    """What `raise` raises unless told otherwise."""


@dataclass(frozen=True, slots=True)
class _Fault:
    act: Callable[[], None]
    latch: Path | None


def reach(point: str) -> None:
    """Fail here if the process was started to."""
    fault = _armed.get(point)
    if fault is not None and _may_fire(fault.latch):
        log.critical("fail-point %s fires", point)
        fault.act()


def parse(armed: str) -> dict[str, _Fault]:
    """Faults by point.

    Actions: `kill`, `stop` (SIGSTOP), `hang`, `enospc`, `raise`, `raise:builtins.OSError`, `grow:MIB`
    (hold on to memory).

    Raises:
        ValueError: no such point or action.
    """
    faults = {}
    for entry in armed.split():
        point, _, told = entry.partition("=")
        action, _, latch = told.partition("@")
        name, _, argument = action.partition(":")
        if point not in POINTS or name not in _ACTIONS:
            raise ValueError(f"{VARIABLE}: no such point or action: {entry}")
        faults[point] = _Fault(_ACTIONS[name](argument), Path(latch) if latch else None)
    return faults


def _may_fire(latch: Path | None) -> bool:
    if latch is None:
        return True
    try:
        latch.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _signal(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def _hang() -> None:
    while True:
        time.sleep(3600)


def _run_out_of_space() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _raise(error: str) -> Callable[[], None]:
    def act() -> None:
        raise (pkgutil.resolve_name(error) if error else FailPointError)("armed to fail here")

    return act


def _grow(mebibytes: str) -> Callable[[], None]:
    return lambda: _ballast.append(b"\xff" * (int(mebibytes) << 20))


_ballast: list[bytes] = []
_ACTIONS: Mapping[str, Callable[[str], Callable[[], None]]] = {
    "kill": lambda _: _signal(signal.SIGKILL),
    "stop": lambda _: _signal(signal.SIGSTOP),
    "hang": lambda _: _hang,
    "enospc": lambda _: _run_out_of_space,
    "raise": _raise,
    "grow": _grow,
}
_armed = parse(os.environ.get(VARIABLE, ""))
