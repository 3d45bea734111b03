from datetime import UTC, datetime

import pytest

from service.evidence.canonical import canonical_json


def test_equal_values_have_equal_bytes_whatever_their_order() -> None:
    assert canonical_json({"b": [1, None, True], "a": {"z": "ü", "y": 0.1}}) == (
        '{"a":{"y":0.1,"z":"ü"},"b":[1,null,true]}'.encode()
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"deep": [-float("inf")]}])
def test_values_without_a_json_form_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(value)


@pytest.mark.parametrize("value", [datetime(2025, 1, 1, tzinfo=UTC), b"bytes", {1, 2}])
def test_nothing_is_turned_into_text_silently(value: object) -> None:
    with pytest.raises(TypeError):
        canonical_json(value)
