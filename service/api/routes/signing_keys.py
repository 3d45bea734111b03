"""The keys that sign: list, replace, revoke."""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse

from service.api.auth import Caller
from service.api.context import InContext
from service.api.idempotency import Answer, JsonCreation
from service.api.problems import problems
from service.api.schemas.signing_keys import Revocation, Rotation, SigningKeyList, SigningKeyRead
from service.api.visibility import require_unbound
from service.flows import signing_keys as flow
from service.store.database import Unit
from service.store.tables import SigningKey

router = APIRouter(prefix="/v1/signing-keys", tags=["signing keys"])

Kid = Annotated[str, Path(max_length=80, description="The key's id.", examples=["kPrK_qmxVWaYVA9…"])]


def _read(row: SigningKey) -> SigningKeyRead:
    return SigningKeyRead.model_validate({name: getattr(row, name) for name in SigningKeyRead.model_fields})


@router.get("")
def list_signing_keys(context: InContext, actor: Caller) -> SigningKeyList:
    """List the signing keys, newest first, retired and revoked ones too."""
    require_unbound(actor)
    with context.store.read() as unit:
        return SigningKeyList(items=[_read(row) for row in unit.access.signing_keys()])


@router.post("/rotate", status_code=201, response_model=SigningKeyRead, responses=problems(400, 409, 413, 415))
def rotate_signing_key(
    context: InContext, actor: Caller, creation: JsonCreation, body: Rotation | None = None
) -> JSONResponse:
    """Sign with a new key from now on. What the one before signed stays valid."""
    require_unbound(actor)

    def effect(unit: Unit) -> Answer:
        row = flow.rotate_signing_key(unit, context.vault, (body or Rotation()).purpose, actor=actor.id)
        return Answer(201, _read(row), "/v1/signing-keys")

    return creation.once(effect)


@router.post("/{kid}/revoke", responses=problems(400, 404, 409, 413, 415))
def revoke_signing_key(kid: Kid, body: Revocation, context: InContext, actor: Caller) -> SigningKeyRead:
    """Say in the key set that a key is not to be trusted any more. The one that signs is replaced first."""
    require_unbound(actor)
    with context.store.write() as unit:
        return _read(flow.revoke_signing_key(unit, context.vault, kid, reason=body.reason, actor=actor.id))
