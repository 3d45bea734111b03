"""Serve the API: `python -m service.api`. The database must be migrated."""

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from service.api.app import create_app
from service.flows.keys import ensure_admin_key
from service.flows.vault import vault_of
from service.logs import configure_logging
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store


class Server(uvicorn.Server):
    """Ends with status 0 when it is asked to stop; uvicorn itself would end by the signal."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield


def main() -> None:
    settings = Settings()
    configure_logging(settings.log_level, process="api")
    store = Store(settings.database_url)
    vault = vault_of(store, settings)
    app = create_app(settings, store, vault, Blobs(settings.blob_url))
    with store.write() as unit:
        token = ensure_admin_key(unit, vault, None)
    if token is not None:
        sys.stdout.write(f"first admin key, shown this once: {token}\n")
        sys.stdout.flush()
    # Our own access log leaves out query strings.
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies.split(),
        timeout_graceful_shutdown=max(1, round(settings.stop_grace_s)),
    )
    inherited = None if settings.listen_fd is None else [socket.socket(fileno=settings.listen_fd)]
    Server(config).run(sockets=inherited)
    store.close()


if __name__ == "__main__":
    main()
