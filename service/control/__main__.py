"""Start the background loops: `python -m service.control`. Any number may run."""

import signal
import threading
from collections.abc import Callable

from service.control.mlflow.mirror import Mirror
from service.control.mlflow.registry import Registry
from service.control.pusher import Pace, Pusher
from service.control.relay import Relay, keep
from service.flows.journal import journal_of, write_waiting
from service.flows.reapply import reapply
from service.flows.reconcile import reconcile
from service.flows.vault import vault_of
from service.hotswap.directory import Directory
from service.logs import configure_logging
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store

RELAY_PAUSE_S = 0.05
PUSH_PAUSE_S = 0.25
JOURNAL_PAUSE_S = 0.25


def main() -> None:
    settings = Settings()
    configure_logging(settings.log_level, process="control")
    store, blobs = Store(settings.database_url), Blobs(settings.blob_url)
    vault = vault_of(store, settings)
    journal = journal_of(settings, vault)
    reapply(store, vault, blobs, journal)
    relay = Relay(store, settings.redis_url)
    directory = Directory(settings.serving_dir, blobs)
    pace = Pace(lease_s=settings.lease_s, check_s=settings.reconcile_s)
    pusher = Pusher(store, lambda: vault_of(store, settings), directory, pace)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    loops: list[tuple[str, Callable[[], object], float]] = [
        ("relay", relay.send_waiting, RELAY_PAUSE_S),
        ("reconciler", lambda: reconcile(store, blobs, due_soon=settings.due_soon), settings.reconcile_s),
        ("erasure journal", lambda: write_waiting(store, journal), JOURNAL_PAUSE_S),
        ("pusher", pusher.push_due, PUSH_PAUSE_S),
    ]
    if settings.mlflow_tracking_uri is not None:
        token = settings.mlflow_token.get_secret_value() if settings.mlflow_token else None
        mirror = Mirror(store, Registry(settings.mlflow_tracking_uri, token), settings.url)
        loops.append(("MLflow mirror", mirror.catch_up, settings.reconcile_s))
    shared = {"stopped": stop.wait, "marks": settings.liveness_dir}
    threads = [
        threading.Thread(target=keep, args=(action,), kwargs={**shared, "pause_s": pause_s, "name": name})
        for name, action, pause_s in loops
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pusher.close()
    store.close()


if __name__ == "__main__":
    main()
