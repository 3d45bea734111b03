"""The model signature of a version: what OpenSSF's own verifier says of downloaded files, and of others."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from model_signing import hashing, signing, verifying

from service.domain.scopes import Scope
from service.evidence.model_keys import ModelSigner, pem
from service.evidence.model_signature import BUNDLE
from service.flows.withdraw import withdraw_due
from tests.support.api import Api, assert_problem, removal
from tests.support.house import people

V1 = "/v1/adapters/bot/versions/v1"
PEM = "/.well-known/model-signing.pem"


@pytest.fixture
def model(ready: Api, tmp_path: Path) -> Path:
    """A directory with the files of v1 and `model.sig`, and the public key beside it."""
    directory = tmp_path / "bot"
    directory.mkdir()
    for name in ready.client.get(V1).json()["files"]:
        (directory / name).write_bytes(ready.client.get(f"{V1}/files/{name}").content)
    (directory / "model.sig").write_bytes(ready.client.get(f"{V1}/signature").content)
    (tmp_path / "key.pem").write_bytes(ready.client_of(None).get(PEM).content)
    return directory


def statement(bundle: Path) -> Any:
    """What a bundle's signature is about."""
    return json.loads(base64.b64decode(json.loads(bundle.read_text())["dsseEnvelope"]["payload"]))


def verify(model: Path, *, key: str = "key.pem") -> None:
    """What `model_signing verify key` does. Raises ValueError."""
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=model.parent / key)
    verifier.verify(model, model / "model.sig")


class TestOpenSsfVerifier:
    def test_it_accepts_what_was_downloaded(self, model: Path) -> None:
        verify(model)

    def test_it_refuses_altered_weights(self, model: Path) -> None:
        weights = model / "adapter_model.safetensors"
        *rest, last = weights.read_bytes()
        weights.write_bytes(bytes([*rest, last ^ 1]))
        # Its message quotes digests as Python does, so its quotes depend on their bytes.
        with pytest.raises(ValueError, match=r"Hash mismatch for .{0,3}adapter_model\.safetensors"):
            verify(model)

    def test_it_refuses_a_file_more_or_less(self, model: Path) -> None:
        (model / "README.md").write_text("smuggled in")
        with pytest.raises(ValueError, match="Extra files"):
            verify(model)
        (model / "README.md").unlink()
        (model / "adapter_config.json").unlink()
        with pytest.raises(ValueError, match="Missing files"):
            verify(model)

    def test_it_refuses_another_key(self, ready: Api, model: Path) -> None:
        (model.parent / "other.pem").write_bytes(pem(ModelSigner.generate().jwk()))
        with pytest.raises(ValueError, match="Key mismatch"):
            verify(model, key="other.pem")

    def test_its_own_signer_states_the_same(self, ready: Api, model: Path) -> None:
        """Ours and theirs differ in the name of the model, which is where it lay, and in the signature."""
        private = ec.generate_private_key(ec.SECP256R1())
        (model.parent / "private.pem").write_bytes(
            private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        hasher = hashing.Config().set_ignored_paths(paths=["model.sig"], ignore_git_paths=False)
        theirs_at = model.parent / "theirs.sig"
        signer = signing.Config().use_elliptic_key_signer(private_key=model.parent / "private.pem")
        signer.set_hashing_config(hasher).sign(model, theirs_at)

        ours, theirs = statement(model / "model.sig"), statement(theirs_at)
        assert ours["subject"][0]["name"] == "bot@v1"
        theirs["subject"][0]["name"] = "bot@v1"
        assert ours == theirs


class TestDownload:
    def test_the_same_key_gives_the_same_bytes(self, ready: Api) -> None:
        first, second = (
            ready.client.get(f"/v1/adapters/bot/versions/{name}/signature") for name in ("v1", "production")
        )
        assert first.content == second.content
        assert first.headers["content-type"] == BUNDLE
        assert first.headers["x-lethe-version"] == "bot@v1"
        assert 'filename="model.sig"' in first.headers["content-disposition"]
        etag = first.headers["etag"]
        assert ready.client.get(f"{V1}/signature", headers={"If-None-Match": etag}).status_code == 304

    def test_it_is_none_of_the_files_that_the_digest_covers(self, ready: Api) -> None:
        assert "model.sig" not in ready.client.get(V1).json()["files"]

    def test_a_new_key_signs_older_versions_too(self, api: Api) -> None:
        api.line("bot", people(10))
        before = api.client.get(f"{V1}/signature").content
        digest = api.client.get(V1).json()["digest"]
        api.client.post("/v1/signing-keys/rotate", json={"purpose": "models"})
        assert api.client.get(f"{V1}/signature").content != before
        assert api.client.get(V1).json()["digest"] == digest

    def test_nothing_is_signed_that_was_withdrawn(self, api: Api) -> None:
        line = api.line("bot", people(10), grace_period_s=0)
        api.client.post("/v1/unlearning-requests", json=removal("p1-0"))
        api.serve(line)
        with api.store.write() as unit:
            withdraw_due(unit)
        assert_problem(api.client.get(f"{V1}/signature"), 410, "version-withdrawn")
        assert api.client.head("/v1/adapters/bot/versions/v2/signature").status_code == 200

    def test_a_key_of_another_line(self, ready: Api) -> None:
        stranger = ready.client_with(Scope.adapters_read, lines=["other"])
        assert_problem(stranger.get(f"{V1}/signature"), 404, "unknown-adapter")
