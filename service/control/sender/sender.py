"""Keep every webhook endpoint told of what happens, and every status callback.

Each receiver has a few threads at most, and a webhook endpoint one while it fails, so that a slow one holds up nobody
else. Any number of senders may run: who takes a delivery has it until it is settled, or until the sender is taken for
dead.
"""

import logging
import random
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx

from service.control.sender.callbacks import Callbacks
from service.control.sender.lane import Lane
from service.evidence.domain_certificate import DomainSigner
from service.failpoints import reach
from service.flows.deliver import claim_delivery, settle
from service.flows.fan_out import fan_out
from service.flows.vault import Vault
from service.store.database import Store
from service.store.tables import WebhookEndpoint
from service.webhooks.outbound.post import post

log = logging.getLogger(__name__)

THREADS = 32
THREADS_PER_ENDPOINT = 4
# A thread sends so many messages to one receiver, then others have their turn.
TURN = 20


class Sender:
    """Sends what is due.

    Args:
        client: one that connects to checked addresses only.
        signer: signs OpenDSR callbacks; None where OpenDSR is off.
    """

    def __init__(self, store: Store, vault: Vault, client: httpx.Client, signer: DomainSigner | None = None) -> None:
        self._store, self._vault, self._client = store, vault, client
        self._callbacks = Callbacks(store, client, signer)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sender")
        self._busy: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def send_due(self) -> int:
        """One pass: note what is to be told, and see to it that it is sent. Returns how many threads it began."""
        with self._store.read() as unit:
            behind = unit.webhooks.behind()
        for endpoint_id in behind:
            with self._store.write("fan_out") as unit:
                fan_out(unit, endpoint_id)
        return sum(map(self._begin, (*self._due_webhooks(), *self._callbacks.due())))

    def close(self) -> None:
        """Finish what is being sent, and begin nothing more."""
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _due_webhooks(self) -> Sequence[Lane]:
        with self._store.read() as unit:
            due = unit.webhooks.with_due(unit.now)
        return [Lane(endpoint.id, _threads(endpoint), partial(self._send_one, endpoint.id)) for endpoint in due]

    def _begin(self, lane: Lane) -> int:
        with self._lock:
            free = max(0, lane.threads - self._busy[lane.name])
            self._busy[lane.name] += free
        for _ in range(free):
            self._pool.submit(self._take_turn, lane)
        return free

    def _take_turn(self, lane: Lane) -> None:
        try:
            for _ in range(TURN):
                if self._closing.is_set() or not lane.send_one():
                    return
        except Exception:
            log.exception("sending %s broke off", lane.name)
        finally:
            with self._lock:
                self._busy[lane.name] -= 1

    def _send_one(self, endpoint_id: str) -> bool:
        with self._store.write("take_delivery") as unit:
            claimed = claim_delivery(unit, self._vault, endpoint_id)
        if claimed is None:
            return False
        attempt = post(self._client, claimed)
        reach("sender.posted")
        with self._store.write("settle_delivery") as unit:
            settle(unit, claimed, attempt, chance=random.random())
        return attempt.succeeded


def _threads(endpoint: WebhookEndpoint) -> int:
    return THREADS_PER_ENDPOINT if endpoint.failing_since is None else 1
