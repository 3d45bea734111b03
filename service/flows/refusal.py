"""Sign that a request was refused, and for which of the known reasons (GDPR article 12(4))."""

import base64
import hashlib
import json

from service.domain.decisions import RejectionCode
from service.evidence.dsse import Envelope
from service.evidence.statements import refusal
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import UnlearningRequest


def sign_refusal(unit: Unit, vault: Vault, request: UnlearningRequest, code: RejectionCode, *, actor: str) -> Envelope:
    """The refusal of what the request's receipt speaks of. Free text is left out of it: it may name people."""
    received = json.loads(base64.b64decode(request.receipt["payload"]))
    statement = refusal(
        request_id=request.id,
        subject=received["subject"],
        issued_at=unit.now,
        received_at=request.received_at,
        due_at=request.due_at,
        regulation=request.regulation,
        client_reference=request.client_reference,
        operation_counts=request.operation_counts,
        code=code,
        refused_by=actor,
    )
    return vault.signer(unit).envelope(statement)


def payload_digest(envelope: Envelope) -> str:
    """SHA-256 of what is signed, in hex."""
    return hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest()
