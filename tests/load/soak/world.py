"""The service that is soaked: PostgreSQL, Redis, every process that `lethe up` starts and keeps, and a receiver."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from service.cli.processes import Guardian
from service.cli.stack import Stack
from service.domain.webhooks import SignatureScheme
from service.evidence.tokens import new_token
from service.flows.vault import vault_of
from service.flows.webhook_endpoints import EndpointOrder, create_endpoint
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store
from service.store.migrate import upgrade
from tests.load.soak.lines import make_lines
from tests.load.soak.plan import Plan
from tests.support.house import ACTOR, House
from tests.support.postgres import postgres_server
from tests.support.receiver import Receiver, receiving
from tests.workers.tiny_llama import save_tiny_llama

STOP_S = 10.0


@dataclass(frozen=True)
class World:
    """What the parts of a soak share. `marks`: where the processes' loops tell that they work."""

    settings: Settings
    key: str
    house: House
    stack: Stack
    receiver: Receiver

    @property
    def marks(self) -> Path:
        assert self.settings.liveness_dir is not None, "it was set"
        return self.settings.liveness_dir


@contextmanager
def deployed(plan: Plan, directory: Path) -> Iterator[World]:
    """Everything runs, and every line is ready."""
    with ExitStack() as context:
        guardian = context.enter_context(Guardian(grace_s=STOP_S))
        postgres = context.enter_context(postgres_server(guardian, is_durable=True))
        receiver = context.enter_context(receiving(directory / "receiver"))
        key = new_token()
        settings = _settings(plan, directory / "home", postgres.url(postgres.create_database()), key)
        house = context.enter_context(_house(settings))
        make_lines(house, settings, plan, save_tiny_llama(directory / "llama"))
        with house.store.write() as unit:
            order = EndpointOrder(receiver.url, SignatureScheme.ed25519, event_types=["request.state"])
            create_endpoint(unit, house.vault, order, actor=ACTOR)
        stack = context.enter_context(Stack(settings, say=lambda _: None))
        yield World(settings, key, house, stack, receiver)


def _settings(plan: Plan, home: Path, database_url: str, key: str) -> Settings:
    return Settings.model_validate(
        {
            "home": home,
            "database_url": database_url,
            "admin_key": SecretStr(key),
            "port": 0,
            "api_processes": 2,
            "device": "cpu",
            "log_level": "WARNING",
            "rate_limit": 0,
            "rate_limit_posts": 0,
            "allow_http": True,
            "allow_networks": "127.0.0.0/8",
            "lease_s": plan.lease_s,
            "heartbeat_s": plan.lease_s / 4,
            "reconcile_s": plan.lease_s / 4,
            "stop_grace_s": STOP_S,
            "liveness_dir": home / "alive",
        }
    )


@contextmanager
def _house(settings: Settings) -> Iterator[House]:
    upgrade(settings.database_url)
    store = Store(settings.database_url)
    try:
        yield House(store, vault_of(store, settings), Blobs(settings.blob_url), settings.home / "trees")
    finally:
        store.close()
