"""The life cycle as a Hypothesis state machine: clients, operators, two workers, a reconciler and time.

Every step is a real transaction on a real database. A step that is not allowed must say so and change nothing; after
each one nothing is lost (`tests.support.invariants`), and in the end everything can be brought to its end.
"""

from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.domain.adapters import Strategy
from service.domain.decisions import RejectionCode
from service.domain.engine import EngineFailure, FailureClass
from service.domain.errors import Fenced, LetheError
from service.domain.inbound import Provider
from service.domain.runs import Lane, RunKind
from service.domain.states import TERMINAL_REQUEST_STATES, RequestState, RunState
from service.flows import decide
from service.flows.accept import accept
from service.flows.claim import Claim
from service.flows.compact import rebuild_now
from service.flows.fail import fail, hand_back, make_room
from service.flows.fence import fenced_run
from service.flows.inbound_endpoints import EndpointOrder, create_endpoint
from service.flows.publish import publish_rebuild
from service.flows.reconcile import reconcile
from service.flows.retire import retire
from service.flows.staged import StagedAnchor, StagedAnswer
from service.store.database import Unit
from service.webhooks.inbound.delivery import Delivery
from service.webhooks.inbound.pipeline import Accepted, receive
from tests.support import senders
from tests.support.house import ACTOR, House, correct, people, remove
from tests.support.invariants import assert_nothing_lost

PEOPLE = 10
OTHER = "key_other"
# `free` rebuilds and answers, `fixed` was imported without a recipe, `watched` asks for approval.
LINES = ("free", "fixed", "watched")
WORKERS = ("worker-1", "worker-2")
VERBS = ("approve", "reject", "cancel", "hold", "release", "extend", "retry", "accept")
ENDS = 60

numbers = st.integers(0, PEOPLE - 1)
lines = st.sampled_from(LINES)
picks = st.integers(0, 1_000)


@dataclass
class Held:
    """What a worker believes to hold, and how far it has come with it."""

    claim: Claim
    anchor: StagedAnchor | None = None
    tail: StagedAnswer | None = None


class LifeCycle(RuleBasedStateMachine):
    """`open_house` makes a deployment on a fresh database, and what ends it."""

    open_house: Callable[[], tuple[House, Callable[[], None]]]

    @initialize()
    def begin(self) -> None:
        self.house, self.close = type(self).open_house()
        self.receipts: dict[str, object] = {}
        self.held: list[Held] = []
        dataset = self.house.dataset(people(PEOPLE, facts=1))
        own = {"influence_share": 0.2, "max_share": 0.5, "rebuild_under_s": 0, "grace_period_s": 0}
        self.ids = {
            "free": self.house.line("free", dataset, complete_at="M", **own),
            "fixed": self.house.line("fixed", dataset, recipe=None, complete_at="I", **own),
            "watched": self.house.line("watched", dataset, complete_at="E", require_approval=True, **own),
        }
        order = EndpointOrder(Provider.api_key, "desk", None, {}, None, None)
        with self.house.store.write() as unit:
            self.endpoint = create_endpoint(unit, self.house.vault, order, senders.SHARED, actor=ACTOR).id

    def teardown(self) -> None:
        if not hasattr(self, "house"):
            return
        try:
            self.bring_to_an_end()
            assert_nothing_lost(self.house, self.receipts)
        finally:
            self.close()

    @invariant()
    def nothing_is_lost(self) -> None:
        if hasattr(self, "house"):
            assert_nothing_lost(self.house, self.receipts, settled=False)

    # Clients

    @rule(
        number=numbers,
        line=st.none() | lines,
        corrects=st.booleans(),
        strategy=st.sampled_from([None, Strategy.influence, Strategy.rebuild]),
    )
    def submit(self, number: int, line: str | None, corrects: bool, strategy: Strategy | None) -> None:
        instance = f"p{number}-0"
        operation = correct(instance, "Nothing is known.") if corrects else remove(instance)
        # The first request of a deployment is nothing to refuse: else a service that refuses everything would pass.
        with may_refuse() if self.receipts else nullcontext():
            request = self.house.submit(operation, adapters=None if line is None else [line], strategy=strategy)
            self.receipts[request] = self.house.request(request).receipt

    @rule(number=numbers)
    def deliver(self, number: int) -> None:
        """A platform's webhook, which may have come before: it gets the answer that it got."""
        order = {"operation": "erase", "subject": f"Person {number}", "request_id": f"ticket-{number}"}
        sent = senders.with_key(order)
        with may_refuse():
            delivery = Delivery(sent.headers, sent.body, datetime.now(UTC))
            store, vault = self.house.store, self.house.vault
            filed = receive(store, vault, Provider.api_key, self.endpoint, delivery, zone=UTC)
            assert isinstance(filed, Accepted)
            assert filed.is_repeated == (filed.request in self.receipts)
            assert self.receipts.setdefault(filed.request, filed.receipt) == filed.receipt

    # Operators

    @precondition(lambda self: self.receipts)
    @rule(
        pick=picks,
        verb=st.sampled_from(["approve", "reject", "cancel", "hold", "release", "extend", "retry", "accept"]),
    )
    def decide(self, pick: int, verb: str) -> None:
        request = list(self.receipts)[pick % len(self.receipts)]
        with may_refuse():
            self.say(request, verb)

    def say(self, request: str, verb: str) -> None:
        vault = self.house.vault
        with self.house.store.write() as unit:
            match verb:
                case "approve":
                    decide.approve(unit, request, actor=OTHER)
                case "reject":
                    code = RejectionCode.other
                    decide.reject(unit, vault, request, actor=OTHER, reason_code=code, reason="no")
                case "cancel":
                    decide.cancel(unit, request, actor=ACTOR)
                case "hold":
                    decide.hold(unit, request, actor=ACTOR, reason=None)
                case "release":
                    decide.release(unit, request, actor=ACTOR)
                case "extend":
                    later = unit.now + timedelta(days=60)
                    decide.extend(unit, request, decide.Extension(later, "complex", UTC), actor=ACTOR)
                case "retry":
                    decide.retry(unit, request, actor=ACTOR)
                case "accept":
                    accept(unit, vault, request, actor=OTHER, reason="good enough")

    @rule(line=lines)
    def rebuild(self, line: str) -> None:
        with may_refuse(), self.house.store.write() as unit:
            rebuild_now(unit, line, actor=ACTOR)

    @precondition(lambda self: len(self.receipts) > 3)
    @rule(line=lines)
    def retire(self, line: str) -> None:
        with may_refuse(), self.house.store.write() as unit:
            retire(unit, self.house.vault, line, actor=ACTOR, reason="replaced")

    # Workers

    @rule(line=lines, lane=st.sampled_from([Lane.answer, Lane.compact]), worker=st.sampled_from(WORKERS))
    def claim(self, line: str, lane: Lane, worker: str) -> None:
        run = self.house.queued_run(self.ids[line], lane)
        claimed = None if run is None else self.house.claim(run, worker=worker)
        if claimed is not None:
            self.held.append(Held(claimed))

    @precondition(lambda self: self.held)
    @rule(pick=picks, passed=st.sampled_from([True, None, False]))
    def publish(self, pick: int, passed: bool | None) -> None:
        held = self.held[pick % len(self.held)]
        with self.fenced(held.claim):
            self.go_on(held, passed=passed)

    def go_on(self, held: Held, *, passed: bool | None) -> None:
        """One transaction of a worker that has computed; a rebuild may need another for its tail."""
        if held.claim.kind is RunKind.influence:
            self.house.answer(held.claim, passed=passed)
            return
        held.anchor = held.anchor or self.house.staged_anchor()
        with self.house.store.write() as unit:
            moved = publish_rebuild(unit, self.house.vault, held.claim, held.anchor, held.tail)
        if moved is not None:
            held.tail = self.house.staged_answer(held.claim, passed=passed or None, solved=moved.head)

    @precondition(lambda self: self.held)
    @rule(pick=picks, kind=st.sampled_from(list(FailureClass)))
    def fail(self, pick: int, kind: FailureClass) -> None:
        claimed = self.held[pick % len(self.held)].claim
        with self.fenced(claimed), self.house.store.write() as unit:
            fail(unit, claimed, EngineFailure(kind, "made-up", "It failed."))

    @precondition(lambda self: self.held)
    @rule(pick=picks)
    def stop(self, pick: int) -> None:
        claimed = self.held[pick % len(self.held)].claim
        with self.fenced(claimed), self.house.store.write() as unit:
            run = fenced_run(unit, claimed.run_id, claimed.fence)
            hand_back(unit, run, reason="worker-stopped", counts=False)

    @precondition(lambda self: any(held.claim.kind is RunKind.rebuild for held in self.held))
    @rule(pick=picks)
    def make_room(self, pick: int) -> None:
        rebuilds = [held.claim for held in self.held if held.claim.kind is RunKind.rebuild]
        claimed = rebuilds[pick % len(rebuilds)]
        with self.fenced(claimed), self.house.store.write() as unit:
            make_room(unit, claimed, self.house.derived())

    @contextmanager
    def fenced(self, claimed: Claim) -> Any:
        """A worker's write is refused exactly if it does not hold the run any more."""
        with self.house.store.read() as unit:
            run = unit.runs.get(claimed.run_id)
            assert run is not None
            holds = run.fence == claimed.fence and run.state is RunState.running
        try:
            yield
        except Fenced:
            assert not holds, "the worker held the run"
        else:
            assert holds, "a stale write was accepted"

    # Time and repair

    @rule()
    def workers_fall_silent(self) -> None:
        with self.house.store.write() as unit:
            for run in running(unit):
                run.lease_until = unit.now - timedelta(seconds=1)
        self.reconcile()

    @rule()
    def time_goes_by(self) -> None:
        """Grace periods and pauses end, and ledgers are due."""
        with self.house.store.write() as unit:
            for run in unit.runs.list(after=None, limit=1_000).items:
                if run.not_before is not None:
                    run.not_before = unit.now
            for line in unit.lines.active():
                if line.rebuild_due_at is not None:
                    line.rebuild_due_at = unit.now
        self.reconcile()

    @rule()
    def reconcile(self) -> None:
        reconcile(self.house.store, self.house.blobs)

    # The end

    def bring_to_an_end(self) -> None:
        """Workers do their work and operators decide, until nothing is open."""
        for _ in range(ENDS):
            self.workers_fall_silent()
            for request in self.open_requests():
                self.decide_finally(request)
            if not self.work() and not self.open_requests():
                self.reconcile()
                return
            self.time_goes_by()
        with self.house.store.read() as unit:
            left = {r: (unit.requests.get(r).state, unit.requests.get(r).failure) for r in self.open_requests()}  # type: ignore[union-attr]
        raise AssertionError(f"they do not come to an end: {left}")

    def open_requests(self) -> list[str]:
        states = {request: self.house.request(request).state for request in self.receipts}
        return [request for request, state in states.items() if state not in TERMINAL_REQUEST_STATES]

    def decide_finally(self, request: str) -> None:
        row = self.house.request(request)
        verbs = ["release"] if row.on_hold else []
        if row.state is RequestState.awaiting_approval:
            verbs.append("approve")
        if row.state is RequestState.needs_attention:
            verbs += ["retry", "accept", "cancel"]
        for verb in verbs:
            try:
                self.say(request, verb)
            except LetheError:
                continue
            if verb != "release":
                return

    def work(self) -> int:
        """Claim and publish whatever is queued; returns how much that was."""
        done = 0
        for line in self.ids.values():
            for lane in (Lane.answer, Lane.compact):
                run = self.house.queued_run(line, lane)
                claimed = None if run is None else self.house.claim(run)
                if claimed is None:
                    continue
                held, done = Held(claimed), done + 1
                while self.holds(claimed):
                    self.go_on(held, passed=True)
        return done

    def holds(self, claimed: Claim) -> bool:
        with self.house.store.read() as unit:
            run = unit.runs.get(claimed.run_id)
            return run is not None and run.state is RunState.running and run.fence == claimed.fence


@contextmanager
def may_refuse() -> Any:
    """An error with a name is an answer; whatever the transaction did is undone."""
    try:
        yield
    except Fenced:
        raise
    except LetheError:
        pass


def running(unit: Unit) -> list[Any]:
    return [run for run in unit.runs.list(after=None, limit=1_000).items if run.state is RunState.running]
