"""When API keys were last used: gathered in memory and written once a minute.

So no call waits for it or fails by it. What a killed process had not written yet is lost.
"""

import asyncio
import logging

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from service.store.database import Store

PAUSE_S = 60.0

logger = logging.getLogger(__name__)


class LastUsed:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._used: set[str] = set()

    def note(self, key_id: str) -> None:
        self._used.add(key_id)

    def write(self) -> None:
        """Write down that the keys noted since the last time are in use now. Raises SQLAlchemyError."""
        used = self._used.copy()
        if used:
            with self._store.write() as unit:
                unit.access.mark_used(used, unit.now)
        self._used.difference_update(used)

    async def beat(self) -> None:
        """Write until cancelled, and once more then. A database that is away has it miss a minute."""
        try:
            while True:
                await asyncio.sleep(PAUSE_S)
                await run_in_threadpool(self._try)
        finally:
            self._try()

    def _try(self) -> None:
        try:
            self.write()
        except SQLAlchemyError as error:
            logger.warning("the use of keys cannot be written: %s", type(error).__name__)
