"""Creating things once: the answer to a POST with an `Idempotency-Key` is stored in the same transaction
as its effect.

A repeated call gets that answer again, a concurrent one waits for the first, and only success is kept:
a refused call may be corrected and sent under the same key. Answers are kept for thirty days.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from service.api.auth import Caller
from service.api.context import InContext
from service.api.errors import Malformed
from service.domain.errors import IdempotencyKeyReused
from service.store.database import Store, Unit
from service.store.tables import IdempotentResponse

MAX_KEY_LENGTH = 255
ACCEPTED = 202
RETRY_AFTER_S = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What a creating call is answered. `secrets`: members that are shown once and never stored."""

    status: int
    body: BaseModel
    location: str
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Creation:
    """One creating call: who makes it, under which key, with which body (as a keyed hash)."""

    store: Store
    actor_id: str
    route: str
    key: str | None
    body_hash: str = ""

    def once(self, effect: Callable[[Unit], Answer]) -> JSONResponse:
        """Run `effect` in a transaction, unless this call was answered before.

        Raises:
            IdempotencyKeyReused: the key came with another body.
        """
        with self.store.write("create") as unit:
            if self.key is None:
                answer = effect(unit)
                return _response(answer.status, answer.body.model_dump(mode="json"), answer.location)
            if not unit.access.reserve_response(self._row(unit)):
                return self._replay(unit.access.response(self.actor_id, self.route, self.key))
            answer = effect(unit)
            body = answer.body.model_dump(mode="json")
            row = unit.access.response(self.actor_id, self.route, self.key)
            assert row is not None, "it was reserved in this transaction"
            row.status, row.location = answer.status, answer.location
            row.body = {name: None if name in answer.secrets else value for name, value in body.items()}
            return _response(answer.status, body, answer.location)

    def replayed(self) -> JSONResponse | None:
        """The stored answer, if there is one: looked up before the work of an upload is done again."""
        if self.key is None:
            return None
        with self.store.read() as unit:
            row = unit.access.response(self.actor_id, self.route, self.key)
            return None if row is None else self._replay(row)

    def _row(self, unit: Unit) -> dict[str, object]:
        return {
            "key_id": self.actor_id,
            "route": self.route,
            "key": self.key,
            "body_hash": self.body_hash,
            "status": 0,
            "body": {},
            "created_at": unit.now,
        }

    def _replay(self, row: IdempotentResponse | None) -> JSONResponse:
        assert row is not None, "the key was taken, so there is an answer"
        if row.body_hash != self.body_hash:
            raise IdempotencyKeyReused(
                "The idempotency key was used with another body.",
                field="Idempotency-Key",
                fix="Use a new key for a new call, and the same body for a repeated one.",
            )
        response = _response(row.status, row.body, row.location)
        response.headers["Idempotency-Replayed"] = "true"
        return response


def _response(status: int, body: object, location: str | None) -> JSONResponse:
    response = JSONResponse(body, status)
    if location is not None:
        response.headers["Location"] = location
    if status == ACCEPTED:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


async def _upload(
    request: Request,
    context: InContext,
    actor: Caller,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Up to 255 printable characters, quoted or not. A repeated call with the same key and body "
            "gets the first answer again.",
            examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
            json_schema_extra={"pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
        ),
    ] = None,
) -> Creation:
    return Creation(
        context.store, actor.id, f"{request.method} {request.url.path}", idempotency_key_of(idempotency_key)
    )


async def _json(request: Request, context: InContext, creation: Annotated[Creation, Depends(_upload)]) -> Creation:
    return replace(creation, body_hash=context.vault.hashes.body(await request.body()))


UploadCreation = Annotated[Creation, Depends(_upload)]
JsonCreation = Annotated[Creation, Depends(_json)]


def idempotency_key_of(header: str | None) -> str | None:
    """The key without the quotes of a structured-field string (draft-ietf-httpapi-idempotency-key-header).

    Raises:
        Malformed: it is empty, too long, or holds something else than printable ASCII.
    """
    if header is None:
        return None
    key = header.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key or len(key) > MAX_KEY_LENGTH or not (key.isascii() and key.isprintable()):
        raise Malformed(
            f"The idempotency key is not 1 to {MAX_KEY_LENGTH} printable ASCII characters.",
            field="Idempotency-Key",
            fix="Use a random UUID.",
            code="invalid-idempotency-key",
        )
    return key
