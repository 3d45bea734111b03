"""Data subjects, as clients and privacy platforms name them.

A subject is named by a plain identifier, or by one whose kind is known (an e-mail address, a user id), or by the
digest of either, as platforms send it that do not pass identifiers on.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, model_validator

from service.domain.given import one_given

# PostgreSQL cannot store U+0000.
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Sha256 = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[0-9a-fA-F]{64}$")]
Sha1 = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[0-9a-fA-F]{40}$")]
Md5 = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[0-9a-fA-F]{32}$")]

# Scopes under which a digest is indexed, beside the kinds: no kind was named, or whatever the kind.
NO_KIND, ANY_KIND = "", "*"

_PHONE_NOISE = re.compile(r"[\s().\-/]+")


class SubjectKind(StrEnum):
    """What an identifier is. Equal identifiers of two kinds name two people."""

    email = "email"
    phone = "phone"
    user_id = "user_id"
    customer_id = "customer_id"
    account_id = "account_id"
    device_id = "device_id"


class DigestKind(StrEnum):
    """Digests by which others may know an identifier, the best first; their lengths tell them apart.

    MD5 and SHA-1 are good enough to find somebody by: nothing is proven with them, and what is stored is always a
    keyed hash of the digest.
    """

    sha256 = "sha256"
    sha1 = "sha1"
    md5 = "md5"


class Identity(BaseModel):
    """One identifier of a data subject, in clear or as a digest."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra=one_given("value", "sha256", "sha1", "md5")
    )

    kind: SubjectKind | None = Field(default=None, description="What it is; without it, it may be anything.")
    value: Name | None = Field(default=None, description="The identifier.", examples=["jane@example.com"])
    sha256: Sha256 | None = Field(
        default=None, description="Instead of it, its SHA-256 in hex: of an e-mail address, trimmed and lower-cased."
    )
    sha1: Sha1 | None = Field(default=None, description="Or its SHA-1, from senders who have nothing better.")
    md5: Md5 | None = Field(default=None, description="Or its MD5, from senders who have nothing better.")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if [self.value, self.sha256, self.sha1, self.md5].count(None) != 3:
            raise ValueError("give exactly one of `value`, `sha256`, `sha1` and `md5`")
        return self

    def canonical(self) -> str | None:
        """The form that is compared; None if only the digest is known."""
        return None if self.value is None else canonical_value(self.value, self.kind)

    @property
    def known_by(self) -> frozenset[DigestKind]:
        """The digests by which this identifier can be found."""
        return frozenset(kind for kind in DigestKind if self.value is not None or getattr(self, kind) is not None)

    def digests(self) -> tuple[str, ...]:
        """The digests by which others may know this identifier, the SHA-256 of its canonical form first."""
        given = self.sha256 or self.sha1 or self.md5
        if given is not None:
            return (given,)
        assert self.value is not None, "an identity has a value or a digest"
        canonical = canonical_value(self.value, self.kind)
        spellings = [canonical, self.value.strip()]
        if self.kind is SubjectKind.phone:
            spellings.append(canonical.removeprefix("+"))
        return tuple(dict.fromkeys(_digest(kind, spelling) for kind in DigestKind for spelling in spellings))


def _digest(kind: DigestKind, spelling: str) -> str:
    """Of a public scheme, as others compute it too: no secret rests on it, so that even MD5 may be used (FIPS)."""
    return hashlib.new(kind, spelling.encode(), usedforsecurity=False).hexdigest()


def _form(given: object) -> str | None:
    """How a subject is written, so that only what concerns that form is told when it is wrong."""
    if isinstance(given, str):
        return "name"
    if isinstance(given, list | tuple):
        return "list"
    return "identity" if isinstance(given, dict | Identity) else None


_BY_FORM = Discriminator(
    _form,
    custom_error_type="subject_form",
    custom_error_message="a subject is a string, or an object with `kind` and `value` or a digest",
)
_Plain: TypeAlias = Annotated[Name, Tag("name")]
_Known: TypeAlias = Annotated[Identity, Tag("identity")]

Subject = Annotated[_Plain | _Known, _BY_FORM]
Subjects = Annotated[
    _Plain | _Known | Annotated[tuple[Subject, ...], Field(min_length=1, max_length=100), Tag("list")], _BY_FORM
]


def identity_of(subject: str | Identity) -> Identity:
    return Identity(value=subject) if isinstance(subject, str) else subject


def identities_of(subjects: str | Identity | Sequence[str | Identity] | None) -> tuple[Identity, ...]:
    """What names subjects, as a list without repetitions."""
    if subjects is None:
        return ()
    listed = [subjects] if isinstance(subjects, str | Identity) else subjects
    return tuple(dict.fromkeys(identity_of(subject) for subject in listed))


def canonical_value(value: str, kind: SubjectKind | None = None) -> str:
    """The form of an identifier that is hashed: NFKC, trimmed, case folded; of a telephone number, its digits.

    An e-mail address is compared case-insensitively as a whole: mailbox providers do so in practice
    although RFC 5321 section 2.4 lets the local part be case-sensitive.
    """
    canonical = unicodedata.normalize("NFKC", value).strip().casefold()
    if kind is not SubjectKind.phone:
        return canonical
    digits = _PHONE_NOISE.sub("", canonical)
    return f"+{digits[2:]}" if digits.startswith("00") else digits
