"""The real API on a real socket, over a house without processes: the test plays the worker."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from service.domain.engine import Stage
from service.evidence.tokens import new_token
from service.flows.claim import Claim
from service.flows.progress import report_progress
from service.flows.vault import open_vault
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store
from tests.support.api_server import api_server
from tests.support.house import House

MASTER_KEY = bytes(range(32))


@dataclass(frozen=True)
class Service:
    """Where the API is, and a key to it."""

    url: str
    key: str


@contextmanager
def opened_house(database_url: str, directory: Path) -> Iterator[House]:
    """A deployment below a directory."""
    store = Store(database_url)
    yield House(store, open_vault(store, MASTER_KEY), Blobs((directory / "blobs").as_uri()), directory / "trees")
    store.close()


@contextmanager
def live_service(house: House, home: Path) -> Iterator[Service]:
    """The API of a deployment."""
    key = new_token()
    with api_server(house, Settings(home=home, admin_key=SecretStr(key))) as url:
        yield Service(url, key)


@contextmanager
def working(
    house: House, line_ids: Sequence[str], *, passed: bool | None = True, heard: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """A worker that answers what the given lines are asked for, with progress, until the context ends.

    Args:
        heard: whether enough was heard of the progress. Until then, or for ten seconds, the worker goes on telling.
    """
    over = threading.Event()

    def tell(claimed: Claim) -> None:
        with house.store.write() as unit:
            report_progress(unit, claimed.run_id, claimed.fence, Stage.solving, 0.5)

    def serve(line_id: str) -> None:
        claimed = house.claim_queued(line_id)
        tell(claimed)
        patience = time.monotonic() + 10
        while not heard() and time.monotonic() < patience:
            time.sleep(0.05)
            tell(claimed)
        house.answer(claimed, passed=passed)

    def loop() -> None:
        while not over.wait(0.05):
            for line_id in line_ids:
                if house.queued_run(line_id) is not None:
                    serve(line_id)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
