import pytest

from service.hotswap.names import VersionName


def test_a_version_has_a_name_in_every_system() -> None:
    name = VersionName("support-bot", 3)

    assert str(name) == "support-bot@v3"
    assert name.hub == "support-bot/v3"
    assert name.kubernetes == "support-bot-v3"
    assert name.mlflow == "models:/support-bot/3"
    assert name.lorax == "support-bot/3"


@pytest.mark.parametrize(
    ("line", "on_the_hub", "in_kubernetes"),
    [
        ("a", True, True),
        ("7b.chat", True, True),
        ("x" * 63, True, True),
        ("support_bot", True, False),
        ("bot_", True, False),
        ("bot.git", True, True),
        ("bot--eu", False, True),
        ("bot..eu", False, False),
        ("bot-", False, True),
        ("bot.", False, False),
        ("bot.-eu", True, False),
    ],
)
def test_a_line_that_another_system_would_not_take_has_no_name_there(
    line: str, on_the_hub: bool, in_kubernetes: bool
) -> None:
    name = VersionName(line, 1)

    assert (name.hub is not None) is on_the_hub
    assert (name.kubernetes is not None) is in_kubernetes


def test_the_hub_s_own_client_agrees() -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    for line in ("a", "7b.chat", "support_bot", "bot_", "bot.git", "x" * 63):
        validate_repo_id(str(VersionName(line, 1).hub))
    for line in ("bot--eu", "bot..eu", "bot-", "bot."):
        with pytest.raises(HFValidationError):
            validate_repo_id(f"{line}/v1")
