"""The secrets a flow works with."""

from dataclasses import dataclass

from service.evidence.hashing import KeyedHash
from service.evidence.keys import Signer
from service.evidence.master_key import load_master_key
from service.evidence.sealing import Sealer
from service.settings import Settings
from service.store.database import Store
from service.store.tables import SigningKey


@dataclass(frozen=True, slots=True)
class Vault:
    """Sealing, keyed hashes and signatures of one deployment."""

    sealer: Sealer
    hashes: KeyedHash
    signer: Signer


def vault_of(store: Store, settings: Settings) -> Vault:
    """The vault of the deployment these settings describe.

    Raises:
        InvalidInput: the master key is malformed.
    """
    secret = settings.master_key.get_secret_value() if settings.master_key else None
    return open_vault(store, load_master_key(secret, settings.home))


def reading_vault(settings: Settings) -> Vault:
    """A vault that opens what the deployment sealed and leaves it as it is: what this one signs, nobody can verify.

    Raises:
        InvalidInput: the master key is malformed or not here.
    """
    secret = settings.master_key.get_secret_value() if settings.master_key else None
    master_key = load_master_key(secret, settings.home, may_create=False)
    return Vault(Sealer(master_key), KeyedHash(master_key), Signer.generate())


def open_vault(store: Store, master_key: bytes) -> Vault:
    """The vault of a deployment; makes its first signing key if there is none."""
    sealer = Sealer(master_key)
    return Vault(sealer, KeyedHash(master_key), _signer(store, sealer))


def _signer(store: Store, sealer: Sealer) -> Signer:
    with store.write() as unit:
        for row in unit.access.signing_keys():
            if row.retired_at is None:
                return Signer.from_sealed(sealer, row.ciphertext, row.wrapped_key)
        signer = Signer.generate()
        sealed = signer.seal(sealer)
        unit.access.add(
            SigningKey(
                kid=signer.kid,
                ciphertext=sealed.ciphertext,
                wrapped_key=sealed.wrapped_key,
                jwk=dict(signer.jwk()),
                created_at=unit.now,
            )
        )
        return signer
