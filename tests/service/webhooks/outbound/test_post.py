"""One attempt, at a real receiver: what is sent, and what is made of the answer."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from service.domain.version import ENGINE_VERSION
from service.domain.webhooks import Attempt, AttemptError, SignatureScheme
from service.egress.address import AddressPolicy
from service.egress.transport import guarded_client
from service.evidence.webhook_keys import WebhookKey
from service.flows.deliver import ClaimedDelivery
from service.webhooks.outbound.post import MAX_RESPONSE_BYTES, post
from tests.support.receiver import Receiver, receiving

LOOPBACK = AddressPolicy((ip_network("127.0.0.1/32"),), allow_http=True)
KEYS = [WebhookKey.generate(SignatureScheme.hmac), WebhookKey.generate(SignatureScheme.ed25519)]
BODY = b'{"type":"request.state"}'


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path / "receiver") as receiver:
        yield receiver


def send(url: str, *, policy: AddressPolicy = LOOPBACK, deadline_s: float = 5) -> Attempt:
    with guarded_client(policy, deadline_s=deadline_s) as client:
        return post(client, ClaimedDelivery("whd_1", "whe_1", 1, url, BODY, KEYS))


def test_what_arrives(receiver: Receiver) -> None:
    attempt = send(receiver.url)
    assert (attempt.status, attempt.error, attempt.succeeded) == (204, None, True)
    (request,) = receiver.received()
    assert request.body == BODY
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == f"lethe/{ENGINE_VERSION}"
    assert request.id == "whd_1"
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 5
    assert [one.split(",")[0] for one in request.headers["webhook-signature"].split(" ")] == ["v1", "v1a"]
    Webhook(str(KEYS[0].shown_once)).verify(request.body, dict(request.headers))


@pytest.mark.parametrize("status", [200, 302, 400, 410, 429, 500])
def test_the_status_is_the_answer(receiver: Receiver, status: int) -> None:
    receiver.answer(status, headers={"Location": receiver.url})
    assert send(receiver.url).status == status
    assert len(receiver.received()) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("soon", None),
        ("-5", None),
        ("9" * 500, 999_999_999),
    ],
)
def test_how_long_the_receiver_asks_us_to_wait(receiver: Receiver, value: str, seconds: float | None) -> None:
    receiver.answer(503, headers={"Retry-After": value})
    assert send(receiver.url).retry_after_s == (None if seconds is None else seconds)


@pytest.mark.parametrize(("hours", "seconds"), [(1, 3600), (-1, 0)])
def test_it_may_ask_by_a_date(receiver: Receiver, hours: int, seconds: int) -> None:
    moment = datetime.now(UTC) + timedelta(hours=hours)
    receiver.answer(503, headers={"Retry-After": format_datetime(moment, usegmt=True)})
    assert send(receiver.url).retry_after_s == pytest.approx(seconds, abs=5)


def test_of_a_long_answer_only_the_beginning_is_read(receiver: Receiver) -> None:
    receiver.answer(200, body_bytes=1000 * MAX_RESPONSE_BYTES)
    attempt = send(receiver.url)
    assert attempt.succeeded
    assert attempt.seconds < 3


def test_an_answer_that_takes_too_long(receiver: Receiver) -> None:
    receiver.answer(204, wait_s=3)
    attempt = send(receiver.url, deadline_s=0.3)
    assert (attempt.status, attempt.error) == (None, AttemptError.timeout)
    assert attempt.seconds < 2


def test_who_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert send(f"http://127.0.0.1:{port}/").error is AttemptError.unreachable
    assert send("http://name.invalid/").error is AttemptError.unresolvable


def test_who_may_not_be_reached(receiver: Receiver) -> None:
    assert send(receiver.url, policy=AddressPolicy(allow_http=True)).error is AttemptError.address_refused
    assert receiver.received() == []


def test_who_speaks_no_tls_or_no_http(receiver: Receiver) -> None:
    assert send(receiver.url.replace("http://", "https://")).error is AttemptError.tls_failed
    with speaking(b"SSH-2.0-OpenSSH_9.6\r\n") as port:
        assert send(f"http://127.0.0.1:{port}/").error is AttemptError.no_http


def test_a_connection_that_breaks_off() -> None:
    with speaking(b"") as port:
        assert send(f"http://127.0.0.1:{port}/").error in (AttemptError.no_http, AttemptError.unreachable)


def test_a_receiver_that_never_ends_its_answer_has_answered() -> None:
    with speaking(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx") as port:
        assert send(f"http://127.0.0.1:{port}/").status == 200


@pytest.mark.parametrize("url", ["http://[::1", "http://xn--a.example\x00/", f"http://{'a' * 70}.example/"])
def test_a_url_that_turns_out_to_be_none_is_a_failure_like_others(url: str) -> None:
    assert send(url).error is not None


@contextmanager
def speaking(words: bytes) -> Iterator[int]:
    """A server that says this to one connection, whatever it hears, and hangs up; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(65_536)
                peer.sendall(words)
                peer.shutdown(socket.SHUT_WR)
                # Closed with something unread, the connection would be reset, and the words lost with it.
                while peer.recv(65_536):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()
