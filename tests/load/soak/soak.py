"""One soak: intake under kills, then a drain, then the count."""

import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import func, select

from service.domain.runs import Lane
from service.domain.states import TERMINAL_REQUEST_STATES, RunState
from service.domain.webhooks import DeliveryState
from service.store.database import Unit
from service.store.tables import Run, UnlearningRequest, WebhookDelivery
from tests.load.soak.figures import Figures, count
from tests.load.soak.intake import Intake
from tests.load.soak.killer import Killer
from tests.load.soak.plan import Plan
from tests.load.soak.world import World, deployed

# The rest of the limit is for looking at what came of it.
WORKING_SHARE = 0.85
POLL_S = 0.5
NEWS_S = 20.0


def soak(plan: Plan, directory: Path, *, say: Callable[[str], None]) -> Figures:
    """Carry a plan out. `say` gets a line of news now and then."""
    began = time.time()
    until = began + WORKING_SHARE * plan.limit_s
    with deployed(plan, directory) as world:
        say(f"{plan.lines} lines are ready after {time.time() - began:.0f} s")
        with Killer(world, plan.deaths, until=until) as killer:
            intake = Intake(plan, world.stack.url, world.key, on_due=lambda n: _on_due(n, plan, killer, say))
            intake.run(until=until)
            sent_at = time.time()
            _drain(world, until, say)
        # What was killed last may have been at work.
        _drain(world, until, say)
        drained_at = time.time()
        say("everything is at rest; counting")
        wall_s, drained_s = drained_at - began, drained_at - sent_at
        return count(world, plan, intake.sent, killer.kills, wall_s=wall_s, drained_s=drained_s)


def _on_due(number: int, plan: Plan, killer: Killer, say: Callable[[str], None]) -> None:
    if number and number % round(NEWS_S * plan.rate) == 0:
        say(f"{number} requests were sent, {len(killer.kills)} kills dealt")


def _drain(world: World, until: float, say: Callable[[str], None]) -> None:
    """Wait until all requests are at their end, no run is open, and the receiver was told of everything."""
    spoke = time.time()
    while time.time() < until:
        with world.house.store.read() as unit:
            left = (_open_requests(unit), _open_runs(unit), _due_webhooks(unit))
        staging = world.settings.home / "staging"
        if not any(left) and not any(staging.glob("*")):
            return
        if time.time() - spoke > NEWS_S:
            spoke = time.time()
            say("to be done: {} requests, {} runs, {} webhooks".format(*left))
        time.sleep(POLL_S)


def _open_requests(unit: Unit) -> int:
    finished = UnlearningRequest.state.in_(TERMINAL_REQUEST_STATES)
    return unit.session.scalar(select(func.count()).select_from(UnlearningRequest).where(~finished)) or 0


def _open_runs(unit: Unit) -> int:
    is_open = Run.state.in_([RunState.queued, RunState.running]) & (Run.lane != Lane.idle)
    return unit.session.scalar(select(func.count()).select_from(Run).where(is_open)) or 0


def _due_webhooks(unit: Unit) -> int:
    is_due = WebhookDelivery.state == DeliveryState.pending
    waiting = unit.session.scalar(select(func.count()).select_from(WebhookDelivery).where(is_due)) or 0
    return waiting + len(unit.webhooks.behind())
