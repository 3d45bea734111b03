"""A real provider in a process of its own: its discovery, its keys, its authorization code flow, its tokens."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.api import Api, assert_problem
from tests.support.oidc import RealProvider, real_provider

pytestmark = pytest.mark.slow

Trusting = Callable[..., Api]
REQUESTS = "/v1/unlearning-requests"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealProvider]:
    with real_provider(tmp_path_factory.mktemp("provider") / "log") as real:
        yield real


@pytest.fixture
def api(trusting: Trusting, real: RealProvider) -> Api:
    return trusting(real.url)


def test_whoever_signs_in_there_is_let_in_here(api: Api, real: RealProvider) -> None:
    real.set_person("ann", groups=["privacy"], email="ann@example.com")
    client = api.client_of(real.token("ann"))
    assert client.get(REQUESTS).status_code == 200
    assert_problem(client.get("/v1/keys"), 403, "missing-scope")


def test_not_without_a_group(api: Api, real: RealProvider) -> None:
    real.set_person("bob")
    assert_problem(api.client_of(real.token("bob")).get(REQUESTS), 403, "no-grant")


def test_not_with_what_another_client_got(api: Api, real: RealProvider) -> None:
    real.set_person("ann", groups=["privacy"])
    token = real.token("ann", client="another-application")
    assert_problem(api.client_of(token).get(REQUESTS), 401, "token-wrong-audience")


def test_not_at_another_deployment_that_trusts_another_provider(
    trusting: Trusting, real: RealProvider, tmp_path: Path
) -> None:
    real.set_person("ann", groups=["privacy"])
    with real_provider(tmp_path / "log") as other:
        api = trusting(other.url)
        response = api.client_of(real.token("ann")).get(REQUESTS)
        # Its tokens name no key, so the other provider's key is tried, which did not sign them.
        assert_problem(response, 401, "token-wrong-signature")


def test_not_any_more_when_it_has_expired(trusting: Trusting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with real_provider(tmp_path / "log", token_max_age_s=1) as short:
        short.set_person("ann", groups=["privacy"])
        client = trusting(short.url).client_of(short.token("ann"))
        assert client.get(REQUESTS).status_code == 200, "expired or not: clocks may differ by a minute"
        monkeypatch.setattr("service.api.oidc.provider.LEEWAY_S", 0)
        time.sleep(1.1)
        assert_problem(client.get(REQUESTS), 401, "token-expired")


def test_while_it_is_away_tokens_cannot_be_verified_but_keys_can(trusting: Trusting, tmp_path: Path) -> None:
    with real_provider(tmp_path / "log") as gone:
        gone.set_person("ann", groups=["privacy"])
        token = gone.token("ann")
    api = trusting(gone.url)
    response = api.client_of(token).get(REQUESTS)
    assert_problem(response, 503, "identity-provider-unavailable")
    assert response.headers["Retry-After"] == "10"
    assert api.client.get(REQUESTS).status_code == 200
