"""What JSON Schema says of members of which some, or exactly one, must be given: null counts as left out."""

from pydantic.config import JsonDict


def any_given(*names: str) -> JsonDict:
    return {"anyOf": [_given(name) for name in names]}


def one_given(*names: str) -> JsonDict:
    return {"oneOf": [_given(name) for name in names]}


def _given(name: str) -> JsonDict:
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
