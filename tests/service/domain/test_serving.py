"""Which servers may be named, where adapters may lie, and how long a failure is left alone."""

from ipaddress import ip_address

import pytest
from pydantic import TypeAdapter, ValidationError

from service.domain.serving import Mount, ServerUrl, is_forbidden_address, is_within, pause_before

URL: TypeAdapter[str] = TypeAdapter(ServerUrl)
MOUNT: TypeAdapter[str] = TypeAdapter(Mount)


@pytest.mark.parametrize(
    "url", ["http://vllm-0:8000", "https://serving.example/eu/", "http://10.0.0.7:8000", "http://[fd00::7]:8000"]
)
def test_servers_of_private_networks_are_taken(url: str) -> None:
    assert URL.validate_python(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://vllm-0",
        "file:///etc/passwd",
        "http://",
        "vllm-0:8000",
        "http://user:secret@vllm-0:8000",
        "http://@vllm-0",
        "http://vllm-0:8000?x=1",
        "http://vllm-0:8000#x",
        "http://vllm-0:99999",
        "http://169.254.169.254/latest",
        "http://[::ffff:169.254.169.254]",
        "http://[fe80::1]",
        "http://[fd00:ec2::254]",
        "http://[fd20:ce::254]",
        "http://[64:ff9b::a9fe:a9fe]",
        "http://[2002:a9fe:a9fe::1]",
        "http://[::169.254.169.254]",
        "http://[::ffff:0:a9fe:a9fe]",
        "http://100.100.100.200/latest",
        "http://168.63.129.16",
        "http://192.0.0.192",
        "http://0.0.0.0:8000",
        "http://224.0.0.1",
    ],
)
def test_other_schemes_credentials_and_addresses_of_machines_themselves_are_not(url: str) -> None:
    with pytest.raises(ValidationError):
        URL.validate_python(url)


def test_loopback_is_an_address_like_any_other() -> None:
    assert not is_forbidden_address(ip_address("127.0.0.1"))
    assert not is_forbidden_address(ip_address("::1"))


@pytest.mark.parametrize("path", ["adapters", "/adapters/../etc", "", "~/adapters"])
def test_a_mount_is_an_absolute_path_that_does_not_climb(path: str) -> None:
    with pytest.raises(ValidationError):
        MOUNT.validate_python(path)


def test_a_directory_lies_within_itself_and_what_is_above_but_not_beside() -> None:
    allowed = ["/adapters", "/srv/models"]
    assert is_within("/adapters", allowed)
    assert is_within("/srv/models/eu", allowed)
    assert not is_within("/adapters-of-others", allowed)
    assert not is_within("/srv", allowed)


def test_pauses_double_up_to_five_minutes() -> None:
    assert [pause_before(attempt) for attempt in (1, 2, 3, 9, 10, 10_000)] == [1, 2, 4, 256, 300, 300]
