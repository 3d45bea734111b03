"""A provider's names of identifiers, and what they are here."""

from collections.abc import Mapping

from service.domain.errors import InvalidInput
from service.domain.operations import Remove, Selection
from service.domain.subjects import Identity, SubjectKind
from service.webhooks.inbound.payload import Payload, validated
from service.webhooks.inbound.provider import Rules

OWN_KINDS: Mapping[str, SubjectKind] = {kind.value: kind for kind in SubjectKind}


def identity(given: Payload, name: str | None, rules: Rules, known: Mapping[str, SubjectKind], *, at: str) -> Identity:
    """One identifier. `given`: its `value` or a digest; `name`: what the provider calls its kind.

    Raises:
        InvalidInput: nobody said what the name means, or the identifier is none.
    """
    kind = None if name is None else rules.subject_kinds.get(name, known.get(name))
    if name is not None and kind is None:
        raise unknown_kind(at)
    return validated(Identity, {"kind": kind, **given}, at=at)


def unknown_kind(at: str) -> InvalidInput:
    return InvalidInput(
        "The kind of identifier is not known to this endpoint.",
        field=at,
        fix="Say what it means in the endpoint's `subject_kinds`.",
        code="unknown-subject-kind",
        extra={"known": [kind.value for kind in SubjectKind]},
    )


def as_text(value: object) -> object:
    """Numbers are identifiers too; everything else is left to be judged."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def members(payload: Payload, rules: Rules, known: Mapping[str, SubjectKind], *, at: str) -> tuple[Identity, ...]:
    """The identifiers among an object's members: those whose names are known kinds. Null ones are left out."""
    names = {**known, **rules.subject_kinds}
    return tuple(
        identity({"value": as_text(payload[name])}, name, rules, known, at=f"{at}/{name}")
        for name in names
        if payload.get(name) is not None
    )


def forget(identities: tuple[Identity, ...], *, at: str) -> Remove:
    """The removal of all about one person.

    Raises:
        InvalidInput: nobody is named.
    """
    if not identities:
        raise InvalidInput(
            "The delivery names no data subject.",
            field=at or "/",
            fix="Send an identifier, or say in the endpoint's `subject_kinds` which member is one.",
            code="no-subject",
        )
    return Remove(type="remove", select=Selection(subject=tuple(dict.fromkeys(identities))))
