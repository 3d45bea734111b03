"""Status callbacks that are due, a lane for each host."""

import random
from collections.abc import Sequence
from functools import partial

import httpx

from service.control.sender.lane import Lane
from service.evidence.domain_certificate import DomainSigner
from service.flows.callbacks import claim_callback, settle_callback
from service.store.database import Store
from service.webhooks.outbound.callback import CallbackPoster, status_body

THREADS_PER_HOST = 2


class Callbacks:
    def __init__(self, store: Store, client: httpx.Client, signer: DomainSigner | None) -> None:
        self._store, self._poster = store, CallbackPoster(client, signer)

    def due(self) -> Sequence[Lane]:
        with self._store.read() as unit:
            hosts = unit.callbacks.due_hosts(self._poster.protocols, unit.now)
        return [Lane(f"callbacks to {host}", THREADS_PER_HOST, partial(self._send_one, host)) for host in hosts]

    def _send_one(self, host: str) -> bool:
        with self._store.write() as unit:
            claimed = claim_callback(unit, host, self._poster.protocols, status_body)
        if claimed is None or not claimed.is_news:
            return claimed is not None
        attempt = self._poster.post(claimed)
        with self._store.write() as unit:
            settle_callback(unit, claimed, attempt, chance=random.random())
        return attempt.succeeded
