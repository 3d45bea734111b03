"""Which addresses may be reached: public ones, and those the operator names."""

from ipaddress import ip_address, ip_network

import pytest

from service.domain.errors import InvalidInput
from service.egress.address import AddressPolicy
from service.settings import Settings

PUBLIC = ("8.8.8.8", "1.1.1.1", "93.184.216.34", "223.255.255.1", "2606:4700::1111", "2a00:1450::1")
INSIDE = (
    "0.0.0.0",  # noqa: S104 - nothing is bound here
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:a00:1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
)
POLICY = AddressPolicy()


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet(address: str) -> None:
    assert POLICY.allows(ip_address(address))


@pytest.mark.parametrize("address", INSIDE)
def test_everything_else_is_refused(address: str) -> None:
    assert not POLICY.allows(ip_address(address))


def test_a_public_address_in_the_guise_of_ipv6_is_what_it_is() -> None:
    assert POLICY.allows(ip_address("::ffff:8.8.8.8"))


@pytest.mark.parametrize("address", ["64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"])
def test_a_translator_that_is_allowed_leads_to_public_addresses_only(address: str) -> None:
    policy = AddressPolicy.of(Settings(allow_networks="64:ff9b::/96 2002::/16"))
    assert not policy.allows(ip_address(address))
    assert policy.allows(ip_address("64:ff9b::808:808"))


def test_what_the_operator_names_is_allowed_and_no_more() -> None:
    policy = AddressPolicy.of(Settings(allow_networks="10.20.0.0/16 fd12:3456::/32"))
    for address in ("10.20.0.1", "::ffff:10.20.0.1", "fd12:3456::1", "8.8.8.8"):
        assert policy.allows(ip_address(address)), address
    for address in ("10.21.0.1", "fd12:3457::1", "127.0.0.1"):
        assert not policy.allows(ip_address(address)), address


@pytest.mark.parametrize(
    "url", ["https://example.com/hook", "https://example.com:8443/a?token=b", "https://8.8.8.8/", "https://[2606::1]/"]
)
def test_urls_that_may_be_sent_to(url: str) -> None:
    POLICY.check_url(url, field="/url")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://example.com/", "scheme-refused"),
        ("ftp://example.com/", "scheme-refused"),
        ("https://example.com:25/", "port-refused"),
        ("https://example.com:22/", "port-refused"),
        ("file:///etc/passwd", "invalid-url"),
        ("example.com", "invalid-url"),
        ("https://", "invalid-url"),
        ("https://:443/", "invalid-url"),
        ("https://example.com:0/", "invalid-url"),
        ("https://example.com:99999/", "invalid-url"),
        ("https://user:password@example.com/", "invalid-url"),
        ("https://example.com@127.0.0.1/", "invalid-url"),
        ("https://example.com/#part", "invalid-url"),
        ("https://exam ple.com/", "invalid-url"),
        ("https://example.com\\@127.0.0.1/", "invalid-url"),
        ("https://example.com/\r\nX: y", "invalid-url"),
        ("https://exämple.com/", "invalid-url"),
        ("https://[::1/", "invalid-url"),
        ("https://127.0.0.1/", "address-refused"),
        ("https://[::1]/", "address-refused"),
        ("https://[::ffff:10.0.0.1]/", "address-refused"),
        ("https://169.254.169.254/latest/meta-data", "address-refused"),
        (f"https://example.com/{'a' * 2000}", "invalid-url"),
    ],
)
def test_urls_that_may_not(url: str, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        POLICY.check_url(url, field="/url")
    assert (caught.value.code, caught.value.field) == (code, "/url")
    assert caught.value.fix
    assert url not in caught.value.detail


def test_ports_that_the_operator_names_and_no_others() -> None:
    policy = AddressPolicy.of(Settings(allow_ports="443 8443-8444"))
    for port in ("", ":443", ":8443", ":8444"):
        policy.check_url(f"https://example.com{port}/", field="/url")
    for port in (80, 8442, 8445, 6379):
        with pytest.raises(InvalidInput) as caught:
            policy.check_url(f"https://example.com:{port}/", field="/url")
        assert caught.value.code == "port-refused"


@pytest.mark.parametrize("ports", ["http", "0", "443-80", "70000", "-1"])
def test_ports_that_are_none(ports: str) -> None:
    with pytest.raises(ValueError, match="allow_ports"):
        Settings(allow_ports=ports)


def test_http_where_the_operator_says_so() -> None:
    AddressPolicy(allow_http=True).check_url("http://example.com/", field="/url")
    inside = AddressPolicy((ip_network("10.0.0.0/8"),), allow_http=True)
    inside.check_url("http://10.0.0.1:8080/hook", field="/url")
