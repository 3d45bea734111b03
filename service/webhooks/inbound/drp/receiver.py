"""What a privacy infrastructure provider does for an agent: pair, take in, tell, revoke."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

from service.domain.callbacks import CallbackProtocol
from service.domain.errors import Forbidden
from service.egress.address import AddressPolicy
from service.flows import decide
from service.flows.agent_tokens import endpoint_of_token, issue_token
from service.flows.callbacks import register
from service.flows.file_ask import file_ask
from service.flows.inbound_endpoints import secrets_of
from service.flows.vault import Vault
from service.store.database import Store, Unit
from service.store.tables import InboundEndpoint, UnlearningRequest
from service.webhooks.inbound.callbacks import check_callback
from service.webhooks.inbound.delivery import wrong_signature
from service.webhooks.inbound.drp.messages import (
    Parties,
    check_revocation,
    checked,
    exercise,
    paired_business,
)
from service.webhooks.inbound.drp.signed import Signed
from service.webhooks.inbound.drp.status import status
from service.webhooks.inbound.provider import rules_of
from service.webhooks.outbound.callback import status_body


@dataclass(frozen=True, slots=True)
class Receiver:
    """`policy`: which addresses statuses may be sent to; `zone`: where the legal clock's days are counted."""

    store: Store
    vault: Vault
    policy: AddressPolicy
    zone: tzinfo

    def pair(self, agent_id: str, body: bytes, at: datetime) -> str:
        """A new bearer token for an agent that signs for it (section 2.05).

        Raises:
            Unreadable, InvalidInput, NotFromSender, Forbidden: any of the checks of section 3.07 fails, or the message
                was used before.
        """
        signed = Signed.of(body)
        with self.store.read() as unit:
            known = [
                (endpoint, secrets_of(unit, self.vault, endpoint)) for endpoint in unit.inbound.of_agent(agent_id)
            ]
        proven = {str(endpoint.business_id): endpoint for endpoint, keys in known if signed.is_by(keys)}
        if not proven:
            raise wrong_signature("body")
        payload = checked(signed.message, Parties(agent_id, frozenset(proven)), at)
        endpoint = proven[paired_business(payload)]
        with self.store.write() as unit:
            return issue_token(unit, self.vault, endpoint, signed.message)

    def check_token(self, agent_id: str, token: str) -> None:
        """Raises Unauthenticated; Forbidden: the token is another agent's."""
        with self.store.read() as unit:
            if endpoint_of_token(unit, self.vault, token).agent_id != agent_id:
                raise Forbidden("The token is another agent's.", field="agent-id", code="wrong-agent")

    def exercise(self, token: str, body: bytes, at: datetime) -> Mapping[str, object]:
        """File what an agent asks for; returns its status. A repetition is answered with the request that it made.

        Raises:
            Unauthenticated: the token.
            Unreadable, InvalidInput, NotFromSender, Forbidden: the message.
            Conflict, NotFound: see `file_ask`.
        """
        endpoint, signed = self._opened(token, body)
        payload = checked(signed.message, _parties(endpoint), at)
        asked = exercise(signed.message, payload, rules_of(endpoint))
        if asked.status_callback is not None:
            self._check_callback(asked.status_callback, endpoint)
        with self.store.write() as unit:
            # Once more: it may have been deleted meanwhile.
            lines = endpoint_of_token(unit, self.vault, token).lines
            filed = file_ask(
                unit,
                self.vault,
                asked.ask,
                channel=endpoint.id,
                actor=endpoint.id,
                lines=None if lines is None else frozenset(lines),
                body_hash=self.vault.hashes.body(body),
                zone=self.zone,
            )
            if asked.status_callback is not None and not filed.is_repeated:
                told = status_body(unit, CallbackProtocol.drp, filed.request)
                register(unit, filed.request, CallbackProtocol.drp, [asked.status_callback], told=told)
            return status(unit, filed.request)

    def read(self, token: str, request_id: str) -> Mapping[str, object]:
        """How far a request is.

        Raises:
            Unauthenticated: the token.
            Forbidden: the request is not this agent's, or there is none.
        """
        with self.store.read() as unit:
            endpoint = endpoint_of_token(unit, self.vault, token)
            return status(unit, _request_of(unit, endpoint, request_id))

    def revoke(self, token: str, request_id: str, body: bytes) -> Mapping[str, object]:
        """Call a request off. One that is revoked stays so.

        Raises:
            Unauthenticated: the token.
            Unreadable, InvalidInput, NotFromSender: the message.
            Forbidden: the request is not this agent's, or there is none.
            IllegalTransition: too late.
        """
        endpoint, signed = self._opened(token, body)
        check_revocation(signed.message)
        with self.store.write() as unit:
            request = _request_of(unit, endpoint, request_id)
            if status(unit, request)["status"] != "revoked":
                request = decide.cancel(unit, request_id, actor=endpoint.id)
            return status(unit, request)

    def _opened(self, token: str, body: bytes) -> tuple[InboundEndpoint, Signed]:
        with self.store.read() as unit:
            endpoint = endpoint_of_token(unit, self.vault, token)
            keys = secrets_of(unit, self.vault, endpoint)
        signed = Signed.of(body)
        signed.check(keys)
        return endpoint, signed

    def _check_callback(self, url: str, endpoint: InboundEndpoint) -> None:
        fix = "Have the endpoint's `callback_hosts` name it, or leave the URL out."
        check_callback(url, endpoint.callback_hosts or (), self.policy, field="/status_callback", fix=fix)


def _parties(endpoint: InboundEndpoint) -> Parties:
    assert endpoint.agent_id is not None
    assert endpoint.business_id is not None
    return Parties(endpoint.agent_id, frozenset([endpoint.business_id]))


def _request_of(unit: Unit, endpoint: InboundEndpoint, request_id: str) -> UnlearningRequest:
    """Whether there is such a request is not told to those whose it is not."""
    request = unit.requests.get(request_id)
    if request is None or request.created_by != endpoint.id:
        raise Forbidden("This is no request of yours.", field="request_id", code="foreign-request")
    return request
