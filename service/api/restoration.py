"""Nothing is served until what a restored database forgot was done again."""

import asyncio
import logging
import threading

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.errors import ErasuresPending
from service.api.problems import problem
from service.flows.reapply import lost_entries, reapply
from service.flows.vault import Vault
from service.store.blobs import Blobs
from service.store.database import Store
from service.store.journal import Journal

OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics", "/version"})
PAUSE_S = 2.0

logger = logging.getLogger(__name__)


class Restoration:
    """Compares database and erasure journal, and keeps trying until they agree.

    `pending`: how many entries the database lacks; None while that cannot be told.
    """

    def __init__(self, store: Store, vault: Vault, blobs: Blobs, journal: Journal) -> None:
        self._store, self._vault, self._blobs, self._journal = store, vault, blobs, journal
        self._done = threading.Event()
        self.pending: int | None = None
        self.check()

    @property
    def done(self) -> bool:
        return self._done.is_set()

    def check(self) -> None:
        """See whether there is anything to do."""
        try:
            self.pending = len(lost_entries(self._store, self._journal))
        except Exception as error:  # noqa: BLE001 - whatever keeps the journal from being read, nothing is served
            logger.error("the erasure journal cannot be compared: %s", type(error).__name__)
            return
        if not self.pending:
            self._done.set()

    def carry_out(self) -> None:
        """Do again what is missing; if that fails, it is still pending."""
        try:
            count = reapply(self._store, self._vault, self._blobs, self._journal)
        except Exception:
            logger.exception("what a restored database forgot could not be done again")
            return
        logger.info("erasures done again: %d journal entries", count)
        self.check()

    async def run(self) -> None:
        """Until database and journal agree."""
        while not self.done:
            await run_in_threadpool(self.carry_out)
            if not self.done:
                await asyncio.sleep(PAUSE_S)


class Gate:
    """Refuses everything but the state of operations until the restoration is done."""

    def __init__(self, app: ASGIApp, *, restoration: Restoration) -> None:
        self._app, self._restoration = app, restoration

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._restoration.done and scope["path"] not in OPEN_PATHS:
            await problem(ErasuresPending())(scope, receive, send)
            return
        await self._app(scope, receive, send)
