import pytest

from service.hotswap.names import VersionName


def test_a_version_has_a_name_for_every_client() -> None:
    name = VersionName("support-bot", 3)

    assert str(name) == "support-bot@v3"
    assert name.hub == "support-bot/v3"
    assert name.lorax == "support-bot/3"


@pytest.mark.parametrize(
    ("line", "is_on_the_hub"),
    [
        ("a", True),
        ("7b.chat", True),
        ("x" * 63, True),
        ("support_bot", True),
        ("bot_", True),
        ("bot.git", True),
        ("bot--eu", False),
        ("bot..eu", False),
        ("bot-", False),
        ("bot.", False),
        ("bot.-eu", True),
    ],
)
def test_a_line_that_hub_clients_would_not_take_has_no_name_there(line: str, is_on_the_hub: bool) -> None:
    assert (VersionName(line, 1).hub is not None) is is_on_the_hub


def test_the_hub_s_own_client_agrees() -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    for line in ("a", "7b.chat", "support_bot", "bot_", "bot.git", "x" * 63):
        validate_repo_id(str(VersionName(line, 1).hub))
    for line in ("bot--eu", "bot..eu", "bot-", "bot."):
        with pytest.raises(HFValidationError):
            validate_repo_id(f"{line}/v1")
