"""A version's files, signed as OpenSSF model signing has it: a Sigstore bundle that its verifiers read offline.

The statement lists every file with its digest; its subject's digest is SHA-256 over those, in the order of the list.

https://github.com/sigstore/model-transparency (model-signing 1.1)
https://docs.sigstore.dev/about/bundle/
"""

import hashlib
from collections.abc import Mapping

from service.evidence import dsse
from service.evidence.canonical import canonical_json
from service.evidence.keys import STATEMENT_TYPE
from service.evidence.model_keys import ModelSigner, hint
from service.evidence.statements import STATEMENT, Statement

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MODEL_SIGNATURE = "https://model_signing/signature/v1.0"
SIGNATURE_FILE = "model.sig"


def model_signature(name: str, files: Mapping[str, str], signer: ModelSigner) -> bytes:
    """The bundle as JSON. Equal files and an equal key give equal bytes.

    Args:
        name: the version, as `support-bot@v3`.
        files: SHA-256, in hex, of each file by its path below the version's directory.
    """
    jwk = signer.jwk()
    envelope = dsse.sign(canonical_json(_statement(name, files)), payload_type=STATEMENT_TYPE, signer=signer)
    return canonical_json(
        {
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": hint(jwk)}, "tlogEntries": []},
            "dsseEnvelope": envelope,
        }
    )


def _statement(name: str, files: Mapping[str, str]) -> Statement:
    listed = sorted(files.items())
    root = hashlib.sha256(b"".join(bytes.fromhex(digest) for _, digest in listed)).hexdigest()
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": root}}],
        "predicateType": MODEL_SIGNATURE,
        "predicate": {
            # Verifiers hash a directory again in this way. The signature may lie in it.
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [SIGNATURE_FILE],
            },
            "resources": [{"name": path, "algorithm": "sha256", "digest": digest} for path, digest in listed],
        },
    }
