"""Keep a claimed run's lease alive from a thread, and say when it is lost."""

import logging
import threading
import time
from datetime import timedelta
from types import TracebackType

from sqlalchemy.exc import SQLAlchemyError

from service.domain.errors import Fenced
from service.flows.claim import Claim
from service.store.database import Store

log = logging.getLogger(__name__)


class Lease:
    """Renews every `heartbeat_s`. Lost once another claim holds the run, or after two thirds of the
    lease without a successful renewal: then this worker must stop before somebody else starts."""

    def __init__(self, store: Store, claim: Claim, *, lease_s: float, heartbeat_s: float) -> None:
        self._store, self._claim = store, claim
        self._lease_s, self._heartbeat_s = lease_s, heartbeat_s
        self._renewed_at = time.monotonic()
        self._refused = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raises Fenced once the lease is lost."""
        silent_s = time.monotonic() - self._renewed_at
        if self._refused or silent_s > self._lease_s * 2 / 3:
            raise Fenced("The lease was lost.")

    def _beat(self) -> None:
        while not self._stop.wait(self._heartbeat_s):
            asked_at = time.monotonic()
            try:
                with self._store.write("renew") as unit:
                    until = unit.now + timedelta(seconds=self._lease_s)
                    renewed = unit.runs.renew(self._claim.run_id, self._claim.fence, lease_until=until)
            except SQLAlchemyError:
                log.warning("renewing the lease failed; trying again")
                continue
            if not renewed:
                self._refused = True
                return
            self._renewed_at = asked_at
