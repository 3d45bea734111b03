"""Files of evidence: signed envelopes and key sets, as the API gives them and as people save them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.cli.session import Session
from service.domain.errors import InvalidInput
from service.evidence.key_set import KeySet, read_key_set

# Members under which answers of the API hold an envelope.
_WRAPPERS = ("envelope", "receipt")


def read_envelope(file: Path) -> Mapping[str, Any]:
    """The DSSE envelope in a file, on its own or in one of the API's answers.

    Raises:
        InvalidInput: there is none, or more than one.
    """
    document = read_json(file)
    while not (isinstance(document, dict) and "payload" in document):
        document = _inside(document, file)
    return document


def trusted_keys(session: Session, file: Path | None) -> KeySet:
    """The key set in a file; without one, that of the service.

    Raises:
        InvalidInput: the file holds no key set.
    """
    return read_key_set(session.client.get_jwks() if file is None else read_json(file))


def _inside(document: object, file: Path) -> object:
    """What a wrapper wraps: one step."""
    if isinstance(document, dict):
        for member in _WRAPPERS:
            if isinstance(document.get(member), dict):
                return document[member]
        document = document.get("items")
    if isinstance(document, list) and len(document) == 1:
        return document[0]
    if isinstance(document, list) and document:
        raise InvalidInput(
            f"{file} holds {len(document)} statements.",
            field=str(file),
            fix="Verify them one by one: save each item to a file of its own. The newest one is the first.",
            code="several-envelopes",
        )
    raise InvalidInput(
        f"{file} holds no DSSE envelope.",
        field=str(file),
        fix="Give a certificate or receipt as the API returns it.",
        code="not-an-envelope",
    )


def read_json(file: Path) -> object:
    try:
        found: object = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(
            f"{file} cannot be read: {error.strerror}.", field=str(file), code="unreadable-file"
        ) from error
    except (ValueError, RecursionError):
        raise InvalidInput(f"{file} is not JSON.", field=str(file), code="not-json") from None
    return found
