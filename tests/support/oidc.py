"""Identity providers: one whose keys and documents a test chooses, and a real one in a process of its own."""

import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI, Request, Response
from jwt.algorithms import get_default_algorithms

from tests.support.api_server import served

AUDIENCE = "lethe-of-the-tests"
PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey


@dataclass(frozen=True)
class Signer:
    """A key pair that signs tokens with one algorithm."""

    kid: str
    algorithm: str
    key: PrivateKey

    @classmethod
    def new(cls, kid: str, algorithm: str = "RS256", *, bits: int = 2048) -> "Signer":
        made: dict[str, Any] = {
            "RS256": lambda: generate_rsa(65537, bits),
            "PS256": lambda: generate_rsa(65537, bits),
            "ES256": lambda: generate_ec(SECP256R1()),
            "EdDSA": Ed25519PrivateKey.generate,
        }
        return cls(kid, algorithm, made[algorithm]())

    def jwk(self, **members: object) -> dict[str, Any]:
        public: Any = self.key.public_key()
        return {**get_default_algorithms()[self.algorithm].to_jwk(public, as_dict=True), "kid": self.kid, **members}

    def pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        return jwt.encode(claims, self.key, self.algorithm, headers={"kid": self.kid, **header})


@dataclass
class Issuer:
    """A provider that serves what a test puts here.

    `asked`: the paths that were asked for; `posted`: the form with which a code was to be exchanged for `token`.
    """

    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None
    asked: list[str] = field(default_factory=list)
    token: str = ""
    posted: dict[str, str] = field(default_factory=dict)

    def claims(self, **changed: Any) -> dict[str, Any]:
        """What a good token claims; None leaves a claim out."""
        now = int(time.time())
        good = {"iss": self.url, "sub": "ann", "aud": AUDIENCE, "iat": now, "exp": now + 300, "groups": ["privacy"]}
        return {name: value for name, value in {**good, **changed}.items() if value is not None}

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/{path:path}")
        def answer(path: str) -> Response:
            self.asked.append(f"/{path}")
            documents: dict[str, object] = {
                ".well-known/openid-configuration": {
                    "issuer": self.url,
                    "jwks_uri": f"{self.url}/jwks",
                    "authorization_endpoint": f"{self.url}/authorize",
                    "token_endpoint": f"{self.url}/token",
                    **self.metadata,
                },
                "jwks": {"keys": self.keys},
            }
            if path not in documents:
                return Response(status_code=404)
            body = json.dumps(documents[path]).encode() if self.body is None else self.body
            return Response(body, self.status, media_type="application/json")

        @app.post("/token")
        async def exchange(request: Request) -> dict[str, str]:
            form = {name: str(value) for name, value in (await request.form()).items()}
            self.posted = {**form, "authorization": request.headers.get("authorization", "")}
            return {"id_token": self.token}

        return app


@contextmanager
def issuer(*signers: Signer) -> Iterator[Issuer]:
    """A provider on a real socket that has these keys."""
    provider = Issuer(keys=[signer.jwk() for signer in signers])
    with served(provider.app()) as url:
        provider.url = url
        yield provider


@dataclass(frozen=True)
class RealProvider:
    """`oidc-provider-mock`: a whole provider, with its authorization code flow. Its id tokens are JWTs."""

    url: str

    def set_person(self, subject: str, **claims: object) -> None:
        httpx.put(f"{self.url}/users/{subject}", json=claims).raise_for_status()

    def token(self, subject: str, *, client: str = AUDIENCE) -> str:
        """An id token, got as a browser and a client get one."""
        redirect = "http://client.example/back"
        query = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": redirect,
            "scope": "openid",
            "state": "s",
            "nonce": "n",
        }
        sent_back = httpx.post(f"{self.url}/oauth2/authorize", params=query, data={"sub": subject})
        code = re.findall(r"code=([^&]+)", sent_back.headers["Location"])[0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect}
        answer = httpx.post(f"{self.url}/oauth2/token", data=form, auth=(client, "any"))
        token: str = answer.raise_for_status().json()["id_token"]
        return token


@contextmanager
def real_provider(log: Path, *, token_max_age_s: int = 3600) -> Iterator[RealProvider]:
    """Run one; it knows nobody yet."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock"]
    command += ["--port", str(port), "--token-max-age", str(token_max_age_s)]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ, "NO_COLOR": "1"})
    provider = RealProvider(f"http://127.0.0.1:{port}")
    try:
        _wait_for(provider, process, log)
        yield provider
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(provider: RealProvider, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        try:
            httpx.get(f"{provider.url}/jwks").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text())


def unsigned(claims: dict[str, Any], **header: Any) -> str:
    """A token with any header and no signature."""
    parts = (json.dumps(part).encode() for part in ({"typ": "JWT", **header}, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."
