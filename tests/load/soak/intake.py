"""Clients: every request is sent when it is due, whatever became of those before it, until it is answered.

Each is a call of the Python client, which repeats what was not answered under the same `Idempotency-Key`; when it
gives up, whoever uses it calls again with that key, as a job that is run again does.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from service.client import Unavailable, Unreachable, unlearning
from service.client.answers.requests import AcceptedRequest
from service.client.calls.requests import create_request
from service.client.sending import send
from service.client.steps import Pause, Send, Steps
from service.domain.errors import LetheError
from tests.load.soak.plan import Order, Plan

AGAIN_S = 0.5
CONNECTIONS = httpx.Limits(max_connections=None, max_keepalive_connections=20)


@dataclass(slots=True)
class Sent:
    """One request and its fate; times by `time.time`. `attempts`: how often it was sent until it was answered."""

    order: Order
    key: str
    due: float
    attempts: int = 0
    answered: float | None = None
    accepted: AcceptedRequest | None = None
    is_replayed: bool = False
    refusal: str | None = None

    @property
    def waited_s(self) -> float:
        """From the moment it was due."""
        assert self.answered is not None, "only answers are timed"
        return self.answered - self.due


@dataclass
class Intake:
    """Sends a plan's orders. `on_due` is told the number of each request as it is sent."""

    plan: Plan
    url: str
    api_key: str
    on_due: Callable[[int], None]
    sent: list[Sent] = field(default_factory=list)

    def run(self, *, until: float) -> None:
        """Return when every request is answered, or at a time."""
        asyncio.run(self._run(until))

    async def _run(self, until: float) -> None:
        headers = {"Authorization": f"Bearer {self.api_key}"}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, limits=CONNECTIONS) as http:
            started, tasks = time.time(), set[asyncio.Task[None]]()
            for number, order in enumerate(self.plan.orders):
                sent = Sent(order, f"soak-{self.plan.seed}-{number}", due=started + number / self.plan.rate)
                if sent.due > until:
                    break
                await asyncio.sleep(max(0.0, sent.due - time.time()))
                self.on_due(number)
                self.sent.append(sent)
                tasks.add(asyncio.create_task(_answered(http, sent)))
                tasks = {task for task in tasks if not task.done()}
            if tasks:
                _, late = await asyncio.wait(tasks, timeout=max(0.0, until - time.time()))
                for task in late:
                    task.cancel()


async def _answered(http: httpx.AsyncClient, sent: Sent) -> None:
    body = unlearning(sent.order.operation, adapters=[sent.order.line])
    while sent.accepted is None and sent.refusal is None:
        try:
            sent.accepted = await _performed(send(create_request(body, idempotency_key=sent.key)), http, sent)
        except (Unreachable, Unavailable):
            await asyncio.sleep(AGAIN_S)
        except LetheError as error:
            sent.refusal = error.code


async def _performed(steps: Steps[AcceptedRequest], http: httpx.AsyncClient, sent: Sent) -> AcceptedRequest:
    """What the client returns, with a note of each attempt."""
    response: httpx.Response | None = None
    error: httpx.HTTPError | None = None
    while True:
        try:
            step = steps.send(response) if error is None else steps.throw(error)
        except StopIteration as end:
            accepted: AcceptedRequest = end.value
            return accepted
        response = error = None
        match step:
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Send(call):
                sent.attempts += 1
                try:
                    with call.request(http) as request:
                        response = await http.send(request)
                except httpx.HTTPError as broken:
                    error = broken
                else:
                    sent.answered = time.time()
                    sent.is_replayed = "Idempotency-Replayed" in response.headers
