"""The real API on a real socket, for clients that speak HTTP."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from service.api.app import create_app
from service.settings import Settings
from tests.support.house import House


@contextmanager
def api_server(house: House, settings: Settings) -> Iterator[str]:
    """Serve a deployment on a free port; the URL."""
    with served(create_app(settings, house.store, house.vault, house.blobs)) as url:
        yield url


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an application on a free port; the URL."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
