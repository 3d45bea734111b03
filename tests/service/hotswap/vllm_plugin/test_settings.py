from pathlib import Path

import pytest

from service.hotswap.vllm_plugin.settings import Misconfigured, read_settings

MINIMUM = {"LETHE_URL": "https://lethe.internal", "LETHE_API_KEY": "lethe_secret"}


def test_a_server_that_names_no_deployment_is_left_alone() -> None:
    assert read_settings({"LETHE_VLLM_LEASE_S": "nonsense"}) is None


def test_url_and_key_are_enough() -> None:
    settings = read_settings(MINIMUM)
    assert settings is not None
    assert settings.lease_s == 300
    assert settings.lines is settings.bases is None
    assert not settings.aliases


def test_the_environment_sets_the_rest() -> None:
    settings = read_settings(
        {
            **MINIMUM,
            "LETHE_VLLM_CACHE": "/var/cache/lethe",
            "LETHE_VLLM_MAX_BYTES": "1000",
            "LETHE_VLLM_LEASE_S": "60",
            "LETHE_VLLM_LINES": "bot, other",
            "LETHE_VLLM_BASE": "sha256:ab,llama",
            "LETHE_VLLM_ALIASES": "1",
        }
    )
    assert settings is not None
    assert settings.cache == Path("/var/cache/lethe")
    assert (settings.max_bytes, settings.lease_s, settings.aliases) == (1000, 60, True)
    assert settings.lines == {"bot", "other"}
    assert settings.bases == {"sha256:ab", "llama"}


def test_the_key_is_not_in_what_is_printed() -> None:
    assert "lethe_secret" not in repr(read_settings(MINIMUM))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"LETHE_API_KEY": ""}, "LETHE_API_KEY"),
        ({"LETHE_API_KEY": "two\nlines"}, "LETHE_API_KEY"),
        ({"LETHE_URL": "lethe.internal"}, "LETHE_URL"),
        ({"LETHE_URL": "http://lethe.internal"}, "LETHE_VLLM_ALLOW_HTTP"),
        ({"LETHE_VLLM_LEASE_S": "-1"}, "LETHE_VLLM_LEASE_S"),
        ({"LETHE_VLLM_MAX_BYTES": "2GiB"}, "LETHE_VLLM_MAX_BYTES"),
        ({"LETHE_VLLM_ALIASES": "yes"}, "LETHE_VLLM_ALIASES"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, str], named: str) -> None:
    with pytest.raises(Misconfigured, match=named):
        read_settings({**MINIMUM, **change})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"])
def test_plain_http_is_taken_on_the_same_machine(url: str) -> None:
    assert read_settings({**MINIMUM, "LETHE_URL": url}) is not None


def test_plain_http_elsewhere_has_to_be_wanted() -> None:
    change = {"LETHE_URL": "http://lethe.internal", "LETHE_VLLM_ALLOW_HTTP": "1"}
    assert read_settings({**MINIMUM, **change}) is not None
