"""Calls to a server that somebody registered: to the host they named, at an address that was checked, no farther."""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from service.domain.addresses import Address
from service.domain.serving import is_forbidden_address
from service.egress.transport import GuardedTransport, no_cookies
from service.hotswap.servers.contract import ServerAway, ServerRefused

# Loading waits for the weights, unloading in some servers for running generations.
TIMEOUT_S = 120.0
CONNECT_S = 5.0
# Metrics and lists of models are the longest.
MAX_ANSWER_BYTES = 16 * 2**20
_TOLD = 200
# Of a proxy that does not reach the server, or a server that is overloaded or starting.
_AWAY = frozenset({408, 425, 429, 502, 503, 504})

Answer = TypeVar("Answer", bound=BaseModel)


class Http:
    """A server's HTTP interface. `api_key`: a bearer token."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self._http = httpx.Client(
            base_url=url,
            headers={
                "Accept-Encoding": "identity",
                **({} if api_key is None else {"Authorization": f"Bearer {api_key}"}),
            },
            cookies=no_cookies(),
            timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S),
            transport=GuardedTransport(_NearBy(), deadline_s=TIMEOUT_S),
            trust_env=False,
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str) -> httpx.Response:
        return self._call("GET", path, None, frozenset())

    def post(self, path: str, body: Mapping[str, Any], *, expected: Collection[int] = ()) -> httpx.Response:
        """`expected`: statuses besides success that the caller knows what to do with."""
        return self._call("POST", path, body, expected)

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None, expected: Collection[int]
    ) -> httpx.Response:
        try:
            with self._http.stream(method, path, json=body) as streamed:
                response = _read(streamed)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise ServerAway(f"{path}: {type(error).__name__}") from error
        if response.is_success or response.status_code in expected:
            return response
        if response.status_code in _AWAY:
            raise ServerAway(f"{path}: status {response.status_code}")
        raise ServerRefused(f"{path}: status {response.status_code}")


def _read(streamed: httpx.Response) -> httpx.Response:
    """An answer with its body as it was sent: unpacked, a few bytes could fill the memory.

    Raises:
        ServerRefused: it is longer than any that a server gives.
    """
    body = bytearray()
    for chunk in streamed.iter_raw():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise ServerRefused(f"{streamed.request.url.path}: the answer is longer than {MAX_ANSWER_BYTES} bytes")
    return httpx.Response(streamed.status_code, content=bytes(body), request=streamed.request)


def told(response: httpx.Response) -> str:
    """The beginning of what a server says about an error."""
    return f"status {response.status_code}: {response.text[:_TOLD]}"


def read(model: type[Answer], response: httpx.Response) -> Answer:
    """An answer's JSON. Raises ServerRefused if it is something else."""
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        raise ServerRefused(f"{response.request.url.path}: the answer is not what such a server answers") from error


class Card(BaseModel):
    """What `/v1/models` says of a model. `parent`: of an adapter the base model; `root`: its path."""

    id: str
    root: str | None = None
    parent: str | None = None


class Cards(BaseModel):
    data: list[Card]

    def adapters(self) -> Mapping[str, str]:
        """Paths by name."""
        return {card.id: card.root or "" for card in self.data if card.parent is not None}


class _NearBy:
    """Private networks are allowed, because that is where inference servers belong."""

    def allows(self, address: Address) -> bool:
        return not is_forbidden_address(address)
