"""API keys."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse

from service.api.auth import Caller
from service.api.context import InContext
from service.api.idempotency import Answer, JsonCreation
from service.api.paging import InPages
from service.api.problems import problems
from service.api.schemas.keys import KeyCreate, KeyCreated, KeyPage, KeyRead, KeyRotated, KeyRotation
from service.api.visibility import require_unbound
from service.flows.keys import KeyOrder, revoke_key
from service.flows.keys import create_key as make_key
from service.flows.keys import rotate_key as give_new_token
from service.store.database import Unit
from service.store.tables import ApiKey

router = APIRouter(prefix="/v1/keys", tags=["keys"])

KeyId = Annotated[str, Path(max_length=48, description="The key's id.", examples=["key_0192…"])]


def _members(row: ApiKey) -> dict[str, object]:
    return {name: getattr(row, name) for name in KeyRead.model_fields}


@router.post("", status_code=201, response_model=KeyCreated, responses=problems(400, 413, 415))
def create_key(body: KeyCreate, context: InContext, actor: Caller, creation: JsonCreation) -> JSONResponse:
    """Make a key. It is shown once, and can do no more than the key that makes it."""
    require_unbound(actor)
    order = KeyOrder(body.name, frozenset(body.scopes), body.lines, body.expires_at)

    def effect(unit: Unit) -> Answer:
        row, token = make_key(unit, context.vault, order, granted=actor.scopes, actor=actor.id)
        created = KeyCreated.model_validate({**_members(row), "token": token})
        return Answer(201, created, f"/v1/keys/{row.id}", secrets=frozenset({"token"}))

    return creation.once(effect)


@router.get("", responses=problems(400))
def list_keys(context: InContext, actor: Caller, paging: InPages) -> KeyPage:
    """List keys, newest first, revoked ones too."""
    require_unbound(actor)
    with context.store.read() as unit:
        page = unit.access.keys(after=paging.position("keys"), limit=paging.limit)
        items = [KeyRead.model_validate(_members(row)) for row in page.items]
    return KeyPage(items=items, next_cursor=paging.after(page.next, "keys"))


@router.post(
    "/{key_id}/rotate", status_code=201, response_model=KeyRotated, responses=problems(400, 404, 409, 413, 415)
)
def rotate_key(
    key_id: KeyId, context: InContext, actor: Caller, creation: JsonCreation, body: KeyRotation | None = None
) -> JSONResponse:
    """Give a key another token, which is shown once. The one before works on for a while; id and rights stay."""
    require_unbound(actor)
    overlap = timedelta(seconds=(body or KeyRotation()).overlap_s)

    def effect(unit: Unit) -> Answer:
        new = give_new_token(unit, context.vault, key_id, overlap=overlap, granted=actor.scopes, actor=actor.id)
        members = {**_members(new.key), "token": new.token, "previous_until": new.previous_until}
        return Answer(201, KeyRotated.model_validate(members), f"/v1/keys/{key_id}", secrets=frozenset({"token"}))

    return creation.once(effect)


@router.delete("/{key_id}", status_code=204, responses=problems(404))
def delete_key(key_id: KeyId, context: InContext, actor: Caller) -> Response:
    """Revoke a key at once."""
    require_unbound(actor)
    with context.store.write() as unit:
        revoke_key(unit, key_id, actor=actor.id)
    return Response(status_code=204)
