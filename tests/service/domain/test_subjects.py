"""Data subjects: how they are written, and which spellings are one."""

import hashlib

import pytest
from pydantic import TypeAdapter, ValidationError

from service.domain.subjects import DigestKind, Identity, SubjectKind, Subjects, canonical_value, identities_of

SUBJECTS: TypeAdapter[object] = TypeAdapter(Subjects)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_an_identifier_has_one_spelling() -> None:
    assert canonical_value("  Ada@Example.COM ") == canonical_value("ada@example.com") == "ada@example.com"
    assert canonical_value("Ａda") == "ada"


def test_a_telephone_number_is_its_digits() -> None:
    spellings = ("+49 30 1234-56", "0049(30)123456", "+4930123456")
    assert {canonical_value(spelling, SubjectKind.phone) for spelling in spellings} == {"+4930123456"}
    assert canonical_value("00 17", SubjectKind.user_id) == "00 17"


def test_a_subject_may_be_written_in_four_ways() -> None:
    assert identities_of("ada") == (Identity(value="ada"),)
    known = {"kind": "email", "value": "ada@example.com"}
    assert SUBJECTS.validate_python(known) == Identity.model_validate(known)
    digest = {"kind": "email", "sha256": sha256("ada@example.com").upper()}
    assert SUBJECTS.validate_python(digest) == Identity(kind=SubjectKind.email, sha256=sha256("ada@example.com"))
    assert identities_of(SUBJECTS.validate_python(["ada", known, "ada"])) == (  # type: ignore[arg-type]
        Identity(value="ada"),
        Identity.model_validate(known),
    )


@pytest.mark.parametrize(
    "subject",
    [
        "",
        17,
        [],
        [["ada"]],
        {},
        {"kind": "email"},
        {"value": "ada", "sha256": sha256("ada")},
        {"sha1": "a" * 40, "md5": "a" * 32},
        {"sha1": "a" * 32},
        {"md5": "g" * 32},
        {"kind": "shoe size", "value": "44"},
        {"kind": "email", "sha256": "abc"},
        {"value": "x" * 201},
        {"value": "ada", "name": "Ada"},
    ],
)
def test_what_names_nobody_is_refused(subject: object) -> None:
    with pytest.raises(ValidationError):
        SUBJECTS.validate_python(subject)


def test_only_the_way_in_which_it_was_written_is_told() -> None:
    with pytest.raises(ValidationError) as refused:
        SUBJECTS.validate_python({"kind": "mail", "value": "ada"})
    (error,) = refused.value.errors()
    assert error["loc"] == ("identity", "kind")


def test_others_may_know_an_identifier_by_the_digest_of_each_spelling() -> None:
    assert Identity(value=" User-1 ").digests()[:2] == (sha256("user-1"), sha256("User-1"))
    phone = Identity(kind=SubjectKind.phone, value="+49 30 1")
    assert phone.digests()[:3] == (sha256("+49301"), sha256("+49 30 1"), sha256("49301"))


@pytest.mark.parametrize("kind", DigestKind)
def test_older_digests_are_understood_too(kind: DigestKind) -> None:
    digest = hashlib.new(kind, b"ada@example.org").hexdigest()
    assert digest in Identity(kind=SubjectKind.email, value="Ada@Example.org").digests()
    hashed = Identity.model_validate({"kind": "email", kind: digest.upper()})
    assert (hashed.digests(), hashed.known_by) == ((digest,), {kind})
    assert Identity(value="ada").known_by == set(DigestKind)
