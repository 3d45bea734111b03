import pytest

from service.hotswap.vllm_plugin.names import Name, parse


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("support-bot@v3", Name("support-bot", "v3", is_alias=False)),
        ("a.b_c@v999999999", Name("a.b_c", "v999999999", is_alias=False)),
    ],
)
def test_a_version_is_a_name(text: str, name: Name) -> None:
    assert parse(text, aliases=False) == name
    assert str(name) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "base", "bot", "bot@", "@v1", "bot@v0", "bot@v01", "bot@v1 ", "bot@v1\n", "Bot@v1", "bot@V1", "bot@v١"),
        *("../bot@v1", "/etc/passwd", "bot/x@v1", "bot:v1", "bot,bot@v1", "bot@v1@v2", "-bot@v1", "bot@v1.json"),
        *("bot@v1234567890", f"{'b' * 64}@v1", "bot@production"),
    ],
)
def test_nothing_else_is(text: str) -> None:
    assert parse(text, aliases=False) is None


def test_an_alias_is_one_where_aliases_are_served() -> None:
    assert parse("bot@production", aliases=True) == Name("bot", "production", is_alias=True)
    assert parse("bot@v3", aliases=True) == Name("bot", "v3", is_alias=False)
    assert parse("bot@Production", aliases=True) is None
