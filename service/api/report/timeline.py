"""What happened to a request, and what is still to come, in the order of time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.api.report.account import Account, LineAccount
from service.api.report.words import RUN_WORDS
from service.domain.states import RequestState

ONE_TRANSACTION = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Step:
    """A moment and what happened then; `is_planned`: it lies ahead, or is a date to be kept.

    `is_end`: it follows from what else was written in the same transaction, whatever the microseconds say.
    """

    at: datetime
    what: str
    is_planned: bool = False
    is_end: bool = False


def timeline(account: Account) -> Sequence[Step]:
    steps = [*_of_request(account), *(step for line in account.lines for step in _of_line(account, line))]
    return sorted(steps, key=lambda step: step.at + ONE_TRANSACTION if step.is_end else step.at)


def clock_words(account: Account) -> str:
    """How the request stands against its due date."""
    request = account.request
    if request.finished_at is None:
        left = request.due_at - account.now
        return f"{_days(-left)} overdue" if left < timedelta() else f"{_days(left)} left"
    early = request.due_at - request.finished_at
    verb = "Answered" if request.state is RequestState.succeeded else "Closed"
    return f"{verb} {_days(abs(early))} {'after' if early < timedelta() else 'before'} the due date"


def _days(span: timedelta) -> str:
    if span < timedelta(days=1):
        return "less than a day"
    return f"{span.days} day{'' if span.days == 1 else 's'}"


def _of_request(account: Account) -> Iterator[Step]:
    request = account.request
    yield Step(request.received_at, "The request was received; the clock started")
    if request.created_at - request.received_at > timedelta(minutes=1):
        yield Step(request.created_at, "It was filed with Lethe, and its receipt signed")
    if request.extended_at is not None:
        yield Step(request.extended_at, "The due date was moved")
    if request.finished_at is not None:
        yield Step(request.finished_at, f"The request became final: {request.state.value}", is_end=True)
    else:
        yield Step(request.due_at, "The request is due", is_planned=True)


def _of_line(account: Account, line: LineAccount) -> Iterator[Step]:
    for run in line.runs:
        name = f"{RUN_WORDS[run.kind]} of {line.adapter}"
        if run.run in account.started:
            yield Step(account.started[run.run], f"{name} began")
        if run.finished_at is not None:
            yield Step(run.finished_at, f"{name} ended" + (f": {run.version}" if run.version else ""))
    if line.acceptance is not None:
        yield Step(line.acceptance.at, f"A person accepted the outcome of {line.adapter}")
    for statement in line.statements:
        kind = "Final" if statement.final else "Interim"
        level = f"{statement.claim_level.value}, {statement.claim_level.name}"
        yield Step(statement.created_at, f"{kind} certificate for {statement.version}, claim level {level}")
    if line.newest is not None and not line.newest.final:
        yield Step(line.shred_by, f"The erased rows of {line.adapter} are destroyed at the latest", is_planned=True)
