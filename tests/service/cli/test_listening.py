"""The API's socket: opened once, reached by the URL that is told, and refused with the setting to change."""

import socket
from contextlib import closing

import pytest

from service.cli.errors import StackError
from service.cli.listening import listen, port_of, url_of


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize(
    ("host", "reached_at"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost"),
        ("0.0.0.0", "127.0.0.1"),  # noqa: S104
        pytest.param("::1", "::1", marks=needs_ipv6),
        pytest.param("::", "::1", marks=needs_ipv6),
        pytest.param("::", "127.0.0.1", marks=needs_ipv6),
    ],
)
def test_it_is_reached_where_it_listens(host: str, reached_at: str) -> None:
    with closing(listen(host, 0)) as listener:
        socket.create_connection((reached_at, port_of(listener)), timeout=5).close()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("lethe.example", "http://lethe.example:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104
        ("::", "http://127.0.0.1:80"),
        ("fd00::1", "http://[fd00::1]:80"),
    ],
)
def test_its_url_can_be_called_from_here(host: str, url: str) -> None:
    assert url_of(host, 80) == url


def test_a_taken_port_is_named_with_the_setting_to_change() -> None:
    with closing(listen("127.0.0.1", 0)) as listener, pytest.raises(StackError, match=str(port_of(listener))) as told:
        listen("127.0.0.1", port_of(listener))
    assert "LETHE_PORT" in str(told.value.fix)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_somebody_else_is_refused(host: str) -> None:
    with pytest.raises(StackError, match=host):
        listen(host, 0)
