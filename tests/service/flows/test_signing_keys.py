"""Signing keys: one signs, the others tell what became of them."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from service.domain.errors import Conflict, NotFound
from service.domain.signing import KeyPurpose, RevocationReason
from service.evidence.key_set import KeySet, read_key_set
from service.evidence.keys import jwks
from service.evidence.verification import verify_envelope
from service.flows.signing_keys import published_keys, revoke_signing_key, rotate_signing_key
from service.flows.vault import open_vault
from service.store.tables import SigningKey
from tests.service.flows.conftest import MASTER_KEY
from tests.support.house import House, people, remove


def keys(house: House, purpose: KeyPurpose = KeyPurpose.statements) -> Sequence[SigningKey]:
    with house.store.read() as unit:
        return [key for key in unit.access.signing_keys() if key.purpose is purpose]


def published(house: House) -> KeySet:
    with house.store.read() as unit:
        return read_key_set(jwks(published_keys(unit)))


def rotate(house: House, purpose: KeyPurpose = KeyPurpose.statements) -> str:
    with house.store.write() as unit:
        return rotate_signing_key(unit, house.vault, purpose, actor="key_admin").kid


def revoke(house: House, kid: str, reason: RevocationReason) -> None:
    with house.store.write() as unit:
        revoke_signing_key(unit, house.vault, kid, reason=reason, actor="key_admin")


def receipt_of(house: House, instance: str) -> dict[str, Any]:
    return house.request(house.submit(remove(instance))).receipt


def findings(house: House, envelope: dict[str, Any]) -> list[str]:
    return [finding.code for finding in verify_envelope(envelope, published(house)).findings]


def signer_of(envelope: dict[str, Any]) -> str:
    return str(envelope["signatures"][0]["keyid"])


class TestRotate:
    def test_the_new_one_signs_at_once_in_every_process_and_the_old_one_still_verifies(self, house: House) -> None:
        house.line("bot", people(6))
        before = receipt_of(house, "p0-0")
        other = House(house.store, open_vault(house.store, MASTER_KEY), house.blobs, house.directory)
        kid = rotate(house)
        after = receipt_of(other, "p1-0")
        assert (signer_of(after), signer_of(before)) == (kid, keys(house)[1].kid)
        assert findings(house, before) == findings(house, after) == []
        assert [key.retired_at is None for key in keys(house)] == [True, False]

    def test_it_is_audited_and_told(self, house: House) -> None:
        (first,) = keys(house)
        kid = rotate(house)
        with house.store.read() as unit:
            row, event = unit.feed.audit_rows(0, 10)[-1], unit.feed.events(0, limit=10)[-1]
        assert (row.actor, row.action, row.data) == (
            "key_admin", "signing_key.rotated", {"kid": kid, "retired": first.kid},
        )  # fmt: skip
        assert (event.type, event.data) == ("signing_key.rotated", {"kid": kid, "retired": first.kid})

    def test_it_waits_for_who_is_signing_and_who_signs_waits_for_it(self, house: House) -> None:
        (first,) = keys(house)
        rotated, signed_with = threading.Event(), []

        def rotate_meanwhile() -> None:
            rotate(house)
            rotated.set()

        def sign_meanwhile() -> None:
            with house.store.write() as unit:
                signed_with.append(house.vault.signer(unit).kid)

        with house.store.write() as unit:
            assert house.vault.signer(unit).kid == first.kid
            one = threading.Thread(target=rotate_meanwhile)
            one.start()
            assert not rotated.wait(0.3)
        one.join()
        with house.store.write() as unit:
            kid = rotate_signing_key(unit, house.vault, KeyPurpose.statements, actor="key_admin").kid
            unit.session.flush()
            other = threading.Thread(target=sign_meanwhile)
            other.start()
            other.join(0.3)
            assert not signed_with
        other.join()
        assert signed_with == [kid]

    def test_each_purpose_has_its_own_key(self, house: House) -> None:
        (statements,), (models,) = keys(house), keys(house, KeyPurpose.models)
        kid = rotate(house, KeyPurpose.models)
        with house.store.read() as unit:
            signers = house.vault.signer(unit).kid, house.vault.model_signer(unit).kid
        assert signers == (statements.kid, kid)
        assert models.retired_at is None
        assert [key.retired_at is None for key in keys(house, KeyPurpose.models)] == [True, False]


class TestRevoke:
    def test_nothing_that_a_compromised_key_signed_is_trusted(self, house: House) -> None:
        house.line("bot", people(6))
        receipt = receipt_of(house, "p0-0")
        revoke(house, signer_of(receipt), RevocationReason.compromised)
        assert findings(house, receipt) == ["revoked-key"]

    def test_what_a_withdrawn_key_signed_before_stays(self, house: House) -> None:
        house.line("bot", people(6))
        receipt = receipt_of(house, "p0-0")
        revoke(house, signer_of(receipt), RevocationReason.withdrawn)
        assert findings(house, receipt) == []
        with house.store.read() as unit:
            later = house.vault.signer(unit)
        assert later.kid != signer_of(receipt)

    def test_the_one_that_signs_is_replaced(self, house: House) -> None:
        (first,) = keys(house)
        revoke(house, first.kid, RevocationReason.compromised)
        new, old = keys(house)
        assert (old.kid, old.revocation_reason, new.retired_at) == (first.kid, RevocationReason.compromised, None)
        assert old.retired_at is not None
        with house.store.read() as unit:
            actions = [row.action for row in unit.feed.audit_rows(0, 10)]
            events = [event.type for event in unit.feed.events(0, limit=10)]
        assert actions == events == ["signing_key.rotated", "signing_key.revoked"]

    def test_it_is_replaced_by_one_of_its_purpose(self, house: House) -> None:
        (statements,), (models,) = keys(house), keys(house, KeyPurpose.models)
        revoke(house, models.kid, RevocationReason.compromised)
        assert [key.kid for key in keys(house)] == [statements.kid]
        new, old = keys(house, KeyPurpose.models)
        assert (old.kid, new.retired_at) == (models.kid, None)

    def test_a_retired_one_leaves_the_one_that_signs(self, house: House) -> None:
        (first,) = keys(house)
        kid = rotate(house)
        revoke(house, first.kid, RevocationReason.withdrawn)
        assert [key.kid for key in keys(house)] == [kid, first.kid]

    def test_once_more_it_changes_nothing(self, house: House) -> None:
        (first,) = keys(house)
        revoke(house, first.kid, RevocationReason.withdrawn)
        when = keys(house)[1].revoked_at
        revoke(house, first.kid, RevocationReason.withdrawn)
        assert (len(keys(house)), keys(house)[1].revoked_at) == (2, when)

    def test_it_may_turn_out_worse_but_never_better(self, house: House) -> None:
        (first,) = keys(house)
        revoke(house, first.kid, RevocationReason.withdrawn)
        revoke(house, first.kid, RevocationReason.compromised)
        assert keys(house)[1].revocation_reason is RevocationReason.compromised
        with pytest.raises(Conflict) as caught:
            revoke(house, first.kid, RevocationReason.withdrawn)
        assert caught.value.code == "key-compromised"

    def test_one_that_is_none(self, house: House) -> None:
        with pytest.raises(NotFound) as caught:
            revoke(house, "nobody", RevocationReason.withdrawn)
        assert (caught.value.code, caught.value.field) == ("unknown-signing-key", "kid")
