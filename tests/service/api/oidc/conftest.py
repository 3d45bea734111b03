import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.oidc import AUDIENCE, Issuer, Signer, issuer

GRANTS = [
    {"claim": "groups", "value": "privacy", "scopes": ["requests:read", "requests:create", "requests:approve"]},
    {"claim": ["realm_access", "roles"], "value": "bot-team", "scopes": "all", "lines": ["bot"]},
    {"claim": "scope", "value": "runs:read", "scopes": ["runs:read"]},
]


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer.new("key-1")


@pytest.fixture(scope="session")
def _served() -> Iterator[Issuer]:
    with issuer() as provider:
        yield provider


@pytest.fixture
def provider(_served: Issuer, signer: Signer) -> Issuer:
    """A provider that has one key."""
    fresh = Issuer(_served.url, keys=[signer.jwk()])
    vars(_served).update(vars(fresh))
    return _served


@pytest.fixture
def trusting(sqlite_url: str, tmp_path: Path) -> Iterator[Callable[[str], Api]]:
    """Makes the API that trusts an issuer."""
    made: list[Api] = []

    def make(url: str, **settings: object) -> Api:
        grants = tmp_path / "grants.json"
        grants.write_text(json.dumps(GRANTS))
        settings = {
            "oidc_issuer": url,
            "oidc_audience": AUDIENCE,
            "oidc_grants": grants,
            "allow_http": True,
            "allow_networks": "127.0.0.0/8",
            **settings,
        }
        made.append(Api(tmp_path / "home", sqlite_url, **settings))
        return made[-1]

    yield make
    for api in made:
        api.store.close()
