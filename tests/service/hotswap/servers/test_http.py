"""Calls go to the host that was named and nowhere else, and every answer that is no success has a meaning."""

import gzip
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from service.domain.serving import ServerKind
from service.hotswap.servers import ServerAway, ServerRefused, connect
from service.hotswap.servers.http import Http
from tests.support.api_server import served


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    app = FastAPI()

    @app.get("/status/{status}")
    def answer(status: int) -> Response:
        return Response(status_code=status)

    @app.get("/elsewhere")
    def elsewhere() -> Response:
        return RedirectResponse("/status/200")

    @app.get("/headers")
    def headers(request: Request) -> Response:
        return JSONResponse({"host": request.headers["host"], "key": request.headers.get("authorization")})

    @app.get("/below/v1/models")
    def models() -> Response:
        return JSONResponse({"models": []})

    @app.get("/endless")
    def endless() -> Response:
        return StreamingResponse(bytes(2**20) for _ in range(10_000))

    @app.get("/packed")
    def packed() -> Response:
        return Response(gzip.compress(bytes(64 * 2**20)), headers={"Content-Encoding": "gzip"})

    @app.get("/cookie")
    def cookie(request: Request) -> Response:
        return JSONResponse(request.cookies, headers={"Set-Cookie": "a=b"})

    with served(app) as base:
        yield base


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have every name mean one address."""
    real = socket.getaddrinfo

    def to(address: str) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **options: real(address, *rest, **options))

    return to


@pytest.fixture
def http() -> Iterator[Callable[..., Http]]:
    """Connections that are closed in the end."""
    with ExitStack() as stack:
        yield lambda url, key=None: stack.enter_context(closing(Http(url, key)))


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_server_that_is_busy_or_behind_a_proxy_is_away(url: str, http: Callable[..., Http], status: int) -> None:
    with pytest.raises(ServerAway, match=str(status)):
        http(url).get(f"/status/{status}")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_other_errors_are_refusals_unless_they_are_expected(url: str, http: Callable[..., Http], status: int) -> None:
    with pytest.raises(ServerRefused, match=str(status)):
        http(url).get(f"/status/{status}")


def test_nobody_there(http: Callable[..., Http]) -> None:
    with pytest.raises(ServerAway, match="ConnectError"):
        http("http://127.0.0.1:1").get("/v1/models")


def test_redirects_are_not_followed(url: str, http: Callable[..., Http]) -> None:
    with pytest.raises(ServerRefused, match="307"):
        http(url).get("/elsewhere")


def test_the_call_names_the_host_and_carries_the_key(
    url: str, http: Callable[..., Http], resolve: Callable[[str], None]
) -> None:
    resolve("127.0.0.1")
    port = url.rpartition(":")[2]
    told: dict[str, Any] = http(f"http://vllm-0:{port}", "secret").get("/headers").json()
    assert told == {"host": f"vllm-0:{port}", "key": "Bearer secret"}


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "0.0.0.0"],  # noqa: S104
)
def test_a_name_that_means_a_machines_own_address_is_not_called(
    address: str, http: Callable[..., Http], resolve: Callable[[str], None]
) -> None:
    resolve(address)
    with pytest.raises(ServerAway, match="AddressRefused"):
        http("http://vllm-0:8000").get("/v1/models")


def test_an_answer_without_an_end_is_not_read_to_it(url: str, http: Callable[..., Http]) -> None:
    with pytest.raises(ServerRefused, match="longer than"):
        http(url).get("/endless")


def test_a_packed_answer_is_not_unpacked(url: str, http: Callable[..., Http]) -> None:
    assert len(http(url).get("/packed").content) < 2**20


def test_cookies_are_not_kept(url: str, http: Callable[..., Http]) -> None:
    server = http(url)
    assert [server.get("/cookie").json() for _ in range(2)] == [{}, {}]


def test_an_answer_that_is_something_else(url: str) -> None:
    with (
        closing(connect(ServerKind.vllm, f"{url}/below")) as server,
        pytest.raises(ServerRefused, match="not what such a server answers"),
    ):
        server.adapters()
