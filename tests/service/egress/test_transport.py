"""Connections go to the address that was checked, whatever the name says a moment later."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.egress.address import AddressPolicy
from service.egress.transport import AddressRefused, Unresolvable, guarded_client
from tests.support.receiver import Receiver, receiving

LOOPBACK = AddressPolicy((ip_network("127.0.0.1/32"),), allow_http=True)
PUBLIC_ONLY = AddressPolicy(allow_http=True)
NAME = "receiver.example"


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path / "receiver") as receiver:
        yield receiver


def named(url: str) -> str:
    return url.replace("127.0.0.1", NAME)


class Resolver:
    """Answers differently every time, as whoever owns a name can make it do."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self._answers.pop(0)


@contextmanager
def client(policy: AddressPolicy, resolver: Resolver, deadline_s: float = 5) -> Iterator[httpx.Client]:
    with guarded_client(policy, deadline_s=deadline_s, resolver=resolver) as made:
        yield made


class TestRebinding:
    def test_a_name_that_turns_inside_after_the_check_is_refused_at_the_connection(self, receiver: Receiver) -> None:
        resolver = Resolver(["93.184.216.34"], ["127.0.0.1"])
        assert resolver(NAME, 80) == ["93.184.216.34"], "what somebody saw who looked beforehand"
        with client(PUBLIC_ONLY, resolver) as http, pytest.raises(AddressRefused):
            http.post(named(receiver.url))
        assert receiver.received() == []

    def test_the_connection_goes_to_the_very_answer_that_was_checked(self, receiver: Receiver) -> None:
        # A second look would lead to an address that is not allowed, and a look by the system nowhere.
        resolver = Resolver(["127.0.0.1"], ["127.0.0.2"])
        with client(LOOPBACK, resolver) as http:
            assert http.post(named(receiver.url), content=b"{}").status_code == 204
        assert resolver.asked == 1
        (request,) = receiver.received()
        assert request.headers["host"] == named(receiver.url).split("/")[2]
        assert request.headers[":path"] == "/hook?from=lethe"

    def test_the_next_request_looks_again(self, receiver: Receiver) -> None:
        resolver = Resolver(["127.0.0.1"], ["10.0.0.1"])
        with client(LOOPBACK, resolver) as http:
            http.post(named(receiver.url), content=b"{}")
            with pytest.raises(AddressRefused):
                http.post(named(receiver.url), content=b"{}")
        assert len(receiver.received()) == 1

    def test_one_address_inside_is_enough_to_use_none(self, receiver: Receiver) -> None:
        for answer in (["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["127.0.0.1", "::1"]):
            with client(LOOPBACK, Resolver(answer)) as http, pytest.raises(AddressRefused):
                http.post(named(receiver.url))
        assert receiver.received() == []

    def test_other_ways_to_write_an_inside_address(self, receiver: Receiver) -> None:
        """The system's resolver understands them all."""
        port = receiver.url.split(":")[2].split("/")[0]
        for host in ("127.1", "2130706433", "0x7f000001", "017700000001", "localhost", "[::ffff:127.0.0.1]"):
            with guarded_client(PUBLIC_ONLY, deadline_s=5) as http, pytest.raises(AddressRefused):
                http.post(f"http://{host}:{port}/")
        assert receiver.received() == []


class TestReach:
    def test_a_host_without_an_address(self) -> None:
        with client(LOOPBACK, Resolver([])) as http, pytest.raises(Unresolvable):
            http.post(f"http://{NAME}/")
        with guarded_client(LOOPBACK, deadline_s=5) as http, pytest.raises(Unresolvable):
            http.post("http://name.invalid/")

    def test_an_address_that_does_not_answer_makes_way_for_the_next(self, receiver: Receiver) -> None:
        policy = AddressPolicy((ip_network("127.0.0.0/8"),), allow_http=True)
        with client(policy, Resolver(["127.0.0.9", "127.0.0.1"])) as http:
            assert http.post(named(receiver.url), content=b"{}").status_code == 204

    def test_redirects_are_answers(self, receiver: Receiver) -> None:
        receiver.answer(302, headers={"Location": receiver.url})
        with client(LOOPBACK, Resolver(["127.0.0.1"])) as http:
            assert http.post(named(receiver.url), content=b"{}").status_code == 302
        assert len(receiver.received()) == 1

    def test_cookies_are_not_kept(self, receiver: Receiver) -> None:
        receiver.answer(204, headers={"Set-Cookie": "a=b"})
        with client(LOOPBACK, Resolver(["127.0.0.1"], ["127.0.0.1"])) as http:
            for _ in range(2):
                http.post(named(receiver.url), content=b"{}")
            assert not http.cookies
        assert ["cookie" in request.headers for request in receiver.received()] == [False, False]

    def test_proxies_of_the_environment_are_not_asked(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        with client(LOOPBACK, Resolver(["127.0.0.1"])) as http:
            assert http.post(named(receiver.url), content=b"{}").status_code == 204


@contextmanager
def dripping(chunk: bytes, pause_s: float) -> Iterator[int]:
    """A server that never ends its answer; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                while not over.wait(pause_s):
                    try:
                        peer.sendall(chunk)
                    except OSError:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()


def test_a_peer_that_sends_a_byte_now_and_then_does_not_hold_the_connection() -> None:
    started = time.monotonic()
    with dripping(b"H", 0.05) as port, client(LOOPBACK, Resolver(["127.0.0.1"]), deadline_s=0.5) as http:
        with pytest.raises(httpx.TimeoutException):
            http.post(f"http://{NAME}:{port}/")
        assert time.monotonic() - started < 2


class TestTls:
    """The certificate and the name asked for are those of the URL, not of the address."""

    @pytest.fixture
    def authority(self, tmp_path: Path) -> Path:
        return make_certificate(tmp_path / "tls.pem", NAME)

    def test_the_name_is_asked_for_and_checked(self, authority: Path) -> None:
        asked: list[str | None] = []
        with tls_server(authority, asked.append) as port:
            tls = ssl.create_default_context(cafile=str(authority))
            for name, right in ((NAME, True), ("other.example", False)):
                resolver = Resolver(["127.0.0.1"])
                with guarded_client(LOOPBACK, deadline_s=5, resolver=resolver, tls=tls) as http:
                    if right:
                        assert http.get(f"https://{name}:{port}/").status_code == 204
                    else:
                        with pytest.raises(httpx.ConnectError):
                            http.get(f"https://{name}:{port}/")
        assert asked == [NAME, "other.example"]

    def test_an_unknown_authority_is_refused(self, authority: Path) -> None:
        with (
            tls_server(authority, lambda _: None) as port,
            client(LOOPBACK, Resolver(["127.0.0.1"])) as http,
            pytest.raises(httpx.ConnectError),
        ):
            http.get(f"https://{NAME}:{port}/")


@contextmanager
def tls_server(certificate: Path, asked: Callable[[str | None], None]) -> Iterator[int]:
    """Answers 204 to every connection, and tells which name was asked for; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _socket, name, _context: asked(name)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(peer, server_side=True) as secured:
                        secured.recv(65536)
                        secured.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                except OSError:
                    peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def make_certificate(path: Path, name: str) -> Path:
    """A self-signed certificate and its key, in one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path
