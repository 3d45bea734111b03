"""The secrets a flow works with."""

from dataclasses import dataclass

from service.domain.signing import KeyPurpose
from service.evidence.hashing import KeyedHash
from service.evidence.keys import Signer
from service.evidence.master_key import load_master_key
from service.evidence.model_keys import ModelSigner
from service.evidence.sealing import Sealer
from service.settings import Settings
from service.store.database import Store, Unit
from service.store.tables import SigningKey


@dataclass(frozen=True, slots=True)
class Vault:
    """Sealing, keyed hashes and signatures of one deployment."""

    sealer: Sealer
    hashes: KeyedHash

    def signer(self, unit: Unit) -> Signer:
        """The key that signs statements now."""
        row = signing_now(unit, KeyPurpose.statements)
        return Signer.from_sealed(self.sealer, row.ciphertext, row.wrapped_key)

    def model_signer(self, unit: Unit) -> ModelSigner:
        """The key that signs versions now."""
        row = signing_now(unit, KeyPurpose.models)
        return ModelSigner.from_sealed(self.sealer, row.ciphertext, row.wrapped_key)


def signing_now(unit: Unit, purpose: KeyPurpose) -> SigningKey:
    """The key that signs. It is looked up every time, so that a rotation holds for every process at once."""
    row = unit.access.signing_now(purpose)
    assert row is not None, "opening the vault makes the first keys, and a key is only retired for another one"
    return row


def vault_of(store: Store, settings: Settings) -> Vault:
    """The vault of the deployment these settings describe.

    Raises:
        InvalidInput: the master key is malformed.
    """
    secret = settings.master_key.get_secret_value() if settings.master_key else None
    return open_vault(store, load_master_key(secret, settings.home))


def reading_vault(settings: Settings) -> Vault:
    """A vault that opens what the deployment sealed, for those who leave the deployment as it is.

    Raises:
        InvalidInput: the master key is malformed or not here.
    """
    secret = settings.master_key.get_secret_value() if settings.master_key else None
    master_key = load_master_key(secret, settings.home, may_create=False)
    return Vault(Sealer(master_key), KeyedHash(master_key))


def open_vault(store: Store, master_key: bytes) -> Vault:
    """The vault of a deployment; makes its first signing keys if there are none."""
    vault = Vault(Sealer(master_key), KeyedHash(master_key))
    with store.write() as unit:
        for purpose in KeyPurpose:
            if unit.access.signing_now(purpose) is None:
                new_signing_key(unit, vault.sealer, purpose)
        # Under another master key the signing keys do not open; better told now than at the first certificate.
        vault.signer(unit)
        vault.model_signer(unit)
    return vault


def new_signing_key(unit: Unit, sealer: Sealer, purpose: KeyPurpose) -> SigningKey:
    """A key that signs from now on."""
    signer = Signer.generate() if purpose is KeyPurpose.statements else ModelSigner.generate()
    sealed = signer.seal(sealer)
    assert sealed.wrapped_key is not None, "only shredding takes a wrapped key away"
    row = SigningKey(
        kid=signer.kid,
        ciphertext=sealed.ciphertext,
        wrapped_key=sealed.wrapped_key,
        jwk=dict(signer.jwk()),
        created_at=unit.now,
    )
    unit.access.add(row)
    return row
