"""One poll of the events feed for all open streams of this process.

The database is the only thing the API and the other processes share, so new events are found by
asking for the newest number, ten times a second and only while somebody listens.
"""

import asyncio
import logging

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from service.store.database import Store

PAUSE_S = 0.1

logger = logging.getLogger(__name__)


class Pulse:
    """Wakes streams up when the feed has grown. Belongs to one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._newest = 0
        self._listeners = 0
        self._grown = asyncio.Event()
        self._wanted = asyncio.Event()

    async def beyond(self, seq: int) -> None:
        """Wait until the feed holds an event with a greater number."""
        self._listeners += 1
        self._wanted.set()
        try:
            while self._newest <= seq:
                await self._grown.wait()
        finally:
            self._listeners -= 1
            if not self._listeners:
                self._wanted.clear()

    async def beat(self) -> None:
        """Poll until cancelled. A database that is away only delays events."""
        while True:
            await self._wanted.wait()
            try:
                newest = await run_in_threadpool(self._ask)
            except SQLAlchemyError as error:
                logger.warning("the events feed cannot be read: %s", type(error).__name__)
            else:
                self._announce(newest)
            await asyncio.sleep(PAUSE_S)

    def _ask(self) -> int:
        with self._store.read() as unit:
            return unit.feed.last_seq()

    def _announce(self, newest: int) -> None:
        if newest > self._newest:
            self._newest = newest
            self._grown.set()
            self._grown = asyncio.Event()
