"""Send a request's status once, as the protocol that it came by has it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import httpx

from service.domain.callbacks import CallbackProtocol
from service.domain.webhooks import Attempt
from service.evidence.canonical import canonical_json
from service.evidence.domain_certificate import DomainSigner
from service.flows.callbacks import ClaimedCallback
from service.store.database import Unit
from service.store.tables import UnlearningRequest
from service.webhooks.inbound import opendsr
from service.webhooks.inbound.drp import status as drp
from service.webhooks.outbound.post import send

_Status: TypeAlias = Callable[[Unit, UnlearningRequest], Mapping[str, object]]
_STATUS: Mapping[CallbackProtocol, _Status] = {
    CallbackProtocol.opendsr: opendsr.status,
    CallbackProtocol.drp: drp.status,
}


def status_body(unit: Unit, protocol: CallbackProtocol, request: UnlearningRequest) -> bytes:
    """What is told of a request now."""
    return canonical_json(_STATUS[protocol](unit, request))


@dataclass(frozen=True, slots=True)
class CallbackPoster:
    """Sends statuses. `client`: one that connects to checked addresses only; `signer`: None where OpenDSR is off."""

    client: httpx.Client
    signer: DomainSigner | None

    @property
    def protocols(self) -> frozenset[CallbackProtocol]:
        """Those that can be sent."""
        return frozenset(CallbackProtocol) - ({CallbackProtocol.opendsr} if self.signer is None else frozenset())

    def post(self, claimed: ClaimedCallback) -> Attempt:
        """One attempt. OpenDSR statuses are signed by the domain (section 4.3); DRP's have no proof of their own."""
        proof: Mapping[str, str] = {}
        if claimed.protocol is CallbackProtocol.opendsr:
            assert self.signer is not None, "see protocols"
            proof = self.signer.headers(claimed.body)
        return send(self.client, claimed.url, claimed.body, proof)
