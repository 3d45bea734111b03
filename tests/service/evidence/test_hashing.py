import hashlib
import hmac

import pytest

from service.domain.instances import Content, Message
from service.domain.subjects import Identity, SubjectKind
from service.evidence.derivation import derive
from service.evidence.hashing import KeyedHash

MASTER_KEY = bytes(range(32))


@pytest.fixture
def keyed() -> KeyedHash:
    return KeyedHash(MASTER_KEY)


def test_it_is_hmac_sha256_under_the_key_of_the_purpose(keyed: KeyedHash) -> None:
    key = derive(MASTER_KEY, "subject hash 1")

    assert keyed.subject("user-123") == hmac.new(key, b"user-123", "sha256").hexdigest()


def test_the_hashes_of_the_first_version_never_change(keyed: KeyedHash) -> None:
    """The suppression list must recognise what was erased years ago."""
    assert keyed.key_id == "h1-3bab735c"
    assert keyed.subject("Ada@Example.org ") == "6db4e24c764ca1cce0eab28ec3f0bffd79e57e7fbdea7ff48a2b5804fa25667c"
    assert (
        keyed.content(Content(prompt="Who?", completion="Ada"))
        == "9e267786f9aa3584a3bfd0458fccabcb2a3ca943e1ef9ea7559cd04b86a83176"
    )


def test_spellings_of_one_subject_are_one(keyed: KeyedHash) -> None:
    assert keyed.subject(" ADA@example.ORG") == keyed.subject("ada@example.org")
    assert keyed.subject("Ａda") == keyed.subject("ada")
    assert keyed.subject("ada1") != keyed.subject("ada2")


def test_exact_duplicates_share_a_hash_up_to_case_white_space_and_form(keyed: KeyedHash) -> None:
    pair = Content(prompt="Who  wrote it?", completion="ADA")
    chat = Content(
        messages=(Message(role="user", content="who wrote it?"), Message(role="assistant", content=" Ada\n"))
    )

    assert keyed.content(pair) == keyed.content(chat)
    assert keyed.content(pair) != keyed.content(Content(prompt="Who wrote it?", completion="Ada!"))
    assert keyed.content(Content(prompt="a b", completion="c")) != keyed.content(Content(prompt="a", completion="b c"))


def test_an_instance_is_named_by_both_its_parts(keyed: KeyedHash) -> None:
    assert keyed.instance("ds_1", "23") != keyed.instance("ds_12", "3")
    assert keyed.instance('a", "b', "c") != keyed.instance("a", 'b", "c')


def test_equal_values_hash_differently_for_every_purpose(keyed: KeyedHash) -> None:
    hashes = {keyed.subject("x"), keyed.ledger("x"), keyed.api_key("x"), keyed.body(b"x")}

    assert len(hashes) == 4
    assert all(len(value) == 64 and set(value) <= set("0123456789abcdef") for value in hashes)


def test_a_new_version_and_another_master_key_change_every_hash_and_the_key_id(keyed: KeyedHash) -> None:
    rotated, foreign = KeyedHash(MASTER_KEY, version=2), KeyedHash(bytes(32))

    assert len({keyed.subject("x"), rotated.subject("x"), foreign.subject("x")}) == 3
    assert len({keyed.key_id, rotated.key_id, foreign.key_id}) == 3
    assert rotated.key_id.startswith("h2-")


class TestSubjectsOfSeveralKinds:
    """An instance's names and a request's look-ups have one in common if both may mean the same person."""

    VALUE, OTHER = "Ada@Example.org", "bob@example.org"
    DIGEST = hashlib.sha256(b"ada@example.org").hexdigest()
    PLAIN = Identity(value=VALUE)
    EMAIL = Identity(kind=SubjectKind.email, value=VALUE)
    USER = Identity(kind=SubjectKind.user_id, value=VALUE)
    HASHED = Identity(sha256=DIGEST)
    SHA1, MD5 = (hashlib.new(name, b"ada@example.org").hexdigest() for name in ("sha1", "md5"))
    BY_SHA1, BY_MD5 = Identity(kind=SubjectKind.email, sha1=SHA1), Identity(md5=MD5)
    HASHED_EMAIL = Identity(kind=SubjectKind.email, sha256=DIGEST)

    @pytest.mark.parametrize("named", [PLAIN, EMAIL, HASHED, HASHED_EMAIL])
    @pytest.mark.parametrize("wanted", [PLAIN, EMAIL, HASHED, HASHED_EMAIL])
    def test_one_person_however_named(self, keyed: KeyedHash, named: Identity, wanted: Identity) -> None:
        assert set(keyed.subject_names(named)) & set(keyed.subject_lookups(wanted))

    @pytest.mark.parametrize("given", [BY_SHA1, BY_MD5])
    @pytest.mark.parametrize("other", [PLAIN, EMAIL])
    def test_by_older_digests_as_well(self, keyed: KeyedHash, given: Identity, other: Identity) -> None:
        for named, wanted in ((given, other), (other, given), (given, given)):
            assert set(keyed.subject_names(named)) & set(keyed.subject_lookups(wanted))
        assert not set(keyed.subject_names(other)) & set(keyed.subject_lookups(Identity(md5="0" * 32)))
        assert given.digests()[0] not in {*keyed.subject_names(given), *keyed.subject_names(other)}

    @pytest.mark.parametrize("named", [PLAIN, EMAIL, HASHED, HASHED_EMAIL])
    def test_nobody_else(self, keyed: KeyedHash, named: Identity) -> None:
        for wanted in (Identity(value=self.OTHER), Identity(kind=SubjectKind.email, value=self.OTHER)):
            assert not set(keyed.subject_names(named)) & set(keyed.subject_lookups(wanted))

    def test_equal_identifiers_of_two_kinds_are_two_people(self, keyed: KeyedHash) -> None:
        for named, wanted in ((self.EMAIL, self.USER), (self.USER, self.HASHED_EMAIL)):
            assert not set(keyed.subject_names(named)) & set(keyed.subject_lookups(wanted))
        assert set(keyed.subject_names(self.USER)) & set(keyed.subject_lookups(self.PLAIN))

    def test_a_plain_identifier_is_known_by_the_hash_that_it_always_had(self, keyed: KeyedHash) -> None:
        assert keyed.subject_names("ada")[0] == keyed.subject_lookups("ada")[0] == keyed.subject("ada")

    def test_a_digest_is_not_kept_as_it_is(self, keyed: KeyedHash) -> None:
        assert self.DIGEST not in {*keyed.subject_names(self.EMAIL), *keyed.subject_names(self.HASHED)}
