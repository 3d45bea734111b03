"""Start a worker: `python -m workers`. It serves the one RQ queue named by its pool."""

import logging
import os
import signal
import socket
import threading
from types import FrameType

from redis import Redis
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from service.flows.journal import journal_of
from service.flows.reapply import reapply
from service.flows.vault import vault_of
from service.liveness import mark
from service.logs import configure_logging
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store
from workers import jobs
from workers.supervisor import Supervisor

log = logging.getLogger(__name__)


class Worker(SimpleWorker):
    """RQ's in-process worker, whose stop signals end the present run instead of waiting for it."""

    supervisor: Supervisor

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Hand the run back, then stop: another worker goes on within moments."""
        self.supervisor.stopping = True
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """A second signal adds nothing: the first one already ends the run at once."""


def main() -> None:
    settings = Settings()
    configure_logging(settings.log_level, process="worker")
    logging.getLogger("rq").setLevel(logging.WARNING)
    store = Store(settings.database_url)
    vault = vault_of(store, settings)
    blobs = Blobs(settings.blob_url)
    reapply(store, vault, blobs, journal_of(settings, vault))
    name = f"{socket.gethostname()}-{os.getpid()}"
    supervisor = Supervisor(settings, store, vault, blobs, name=name)
    jobs.serve_with(supervisor)
    connection = Redis.from_url(settings.redis_url)
    queue = Queue(settings.worker_pool, connection=connection, serializer=JSONSerializer)
    worker = Worker([queue], name=name, connection=connection, serializer=JSONSerializer, log_job_description=False)
    worker.supervisor = supervisor
    stop = threading.Event()
    presence = threading.Thread(target=_show_presence, args=(store, settings, supervisor, name, stop), daemon=True)
    presence.start()
    try:
        worker.work(logging_level=settings.log_level)
    finally:
        stop.set()
        presence.join()
        supervisor.close()
        with store.write() as unit:
            unit.runs.forget_worker(name)


def _show_presence(store: Store, settings: Settings, supervisor: Supervisor, name: str, stop: threading.Event) -> None:
    """Keep the workers table current, so that requests can say what they wait for, and have the supervisor forget
    what was erased, whatever it is doing otherwise."""
    while True:
        try:
            with store.write() as unit:
                unit.runs.seen_worker(name, settings.worker_pool, None, unit.now)
            supervisor.forget()
            mark(settings.liveness_dir, "worker")
        except Exception:  # noqa: BLE001 - presence is a courtesy; the lease decides
            log.warning("could not note this worker's presence")
        if stop.wait(settings.heartbeat_s):
            return


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    main()
