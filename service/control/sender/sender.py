"""Keep every webhook endpoint told of what happens.

Each endpoint has a few threads at most, and one while it fails, so that a slow one holds up nobody else. Any number of
senders may run: who takes a delivery has it until it is settled, or until the sender is taken for dead.
"""

import logging
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from service.flows.deliver import claim_delivery, settle
from service.flows.fan_out import fan_out
from service.flows.vault import Vault
from service.store.database import Store
from service.store.tables import WebhookEndpoint
from service.webhooks.outbound.post import post

log = logging.getLogger(__name__)

THREADS = 32
THREADS_PER_ENDPOINT = 4
# A thread sends so many messages to one endpoint, then others have their turn.
TURN = 20


class Sender:
    """Sends what is due. `client`: one that connects to checked addresses only."""

    def __init__(self, store: Store, vault: Vault, client: httpx.Client) -> None:
        self._store, self._vault, self._client = store, vault, client
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sender")
        self._busy: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def send_due(self) -> int:
        """One pass: note what is to be told, and see to it that it is sent. Returns how many threads it began."""
        with self._store.read() as unit:
            behind = unit.webhooks.behind()
        for endpoint_id in behind:
            with self._store.write() as unit:
                fan_out(unit, endpoint_id)
        with self._store.read() as unit:
            due = unit.webhooks.with_due(unit.now)
        return sum(self._begin(endpoint) for endpoint in due)

    def close(self) -> None:
        """Finish what is being sent, and begin nothing more."""
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _begin(self, endpoint: WebhookEndpoint) -> int:
        allowed = THREADS_PER_ENDPOINT if endpoint.failing_since is None else 1
        with self._lock:
            free = max(0, allowed - self._busy[endpoint.id])
            self._busy[endpoint.id] += free
        for _ in range(free):
            self._pool.submit(self._take_turn, endpoint.id)
        return free

    def _take_turn(self, endpoint_id: str) -> None:
        try:
            for _ in range(TURN):
                if self._closing.is_set() or not self._send_one(endpoint_id):
                    return
        except Exception:
            log.exception("sending to webhook endpoint %s broke off", endpoint_id)
        finally:
            with self._lock:
                self._busy[endpoint_id] -= 1

    def _send_one(self, endpoint_id: str) -> bool:
        with self._store.write() as unit:
            claimed = claim_delivery(unit, self._vault, endpoint_id)
        if claimed is None:
            return False
        attempt = post(self._client, claimed)
        with self._store.write() as unit:
            settle(unit, claimed, attempt, chance=random.random())
        return attempt.succeeded
