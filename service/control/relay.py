"""Send outbox rows to RQ once they are due. A hint may be sent twice; claiming a run twice is impossible."""

import logging
from collections.abc import Callable
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.serializers import JSONSerializer

from service.failpoints import reach
from service.liveness import mark
from service.store.database import Store

log = logging.getLogger(__name__)

JOB = "workers.jobs.execute"
BATCH = 100
HINT_TTL_S = 86_400
# Without one RQ writes the call with its arguments.
DESCRIPTION = "a run"


class Relay:
    """Moves hints from the outbox to the pools' queues."""

    def __init__(self, store: Store, redis_url: str) -> None:
        self._store = store
        self._redis = Redis.from_url(redis_url)

    def send_waiting(self) -> int:
        """One pass; returns how many hints went out. Without Redis they wait."""
        with self._store.read() as unit:
            rows = [(row.id, row.run_id, row.pool) for row in unit.runs.unsent(BATCH, unit.now)]
        sent = []
        for row_id, run_id, pool in rows:
            try:
                self._enqueue(run_id, pool, row_id)
            except RedisError:
                log.warning("redis is away; hints wait in the outbox")
                break
            sent.append(row_id)
            reach("relay.hinted")
        if sent:
            with self._store.write("relay") as unit:
                unit.runs.sent(sent, unit.now)
        return len(sent)

    def _enqueue(self, run_id: str, pool: str, row_id: int) -> None:
        queue = Queue(pool, connection=self._redis, serializer=JSONSerializer)
        queue.enqueue(
            JOB,
            run_id,
            job_id=f"{run_id}-{row_id}",
            job_timeout=-1,
            result_ttl=0,
            failure_ttl=HINT_TTL_S,
            ttl=HINT_TTL_S,
            description=DESCRIPTION,
        )


def keep(
    action: Callable[[], object],
    *,
    stopped: Callable[[float], bool],
    pause_s: float,
    name: str,
    marks: Path | None = None,
) -> None:
    """Repeat `action` until `stopped(pause)` says so. A failing pass is logged and tried again.

    `marks`: where a pass that succeeded leaves its mark.
    """
    while not stopped(pause_s):
        try:
            action()
            mark(marks, name)
        except Exception:
            log.exception("%s: a pass failed", name)
