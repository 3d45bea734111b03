"""What a provider has to be able to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain.subjects import SubjectKind
from service.flows.file_ask import Ask
from service.store.tables import InboundEndpoint
from service.webhooks.inbound.delivery import Delivery


@dataclass(frozen=True, slots=True)
class Rules:
    """What an endpoint's owner decided.

    `subject_kinds`: what the provider's names of identifiers mean, beside those that the provider class knows.
    `erasure_types`: the types of events that ask for erasure, instead of the provider's own.
    """

    subject_kinds: Mapping[str, SubjectKind]
    erasure_types: frozenset[str] | None = None
    regulation: str | None = None


def rules_of(endpoint: InboundEndpoint) -> Rules:
    """What is kept of them."""
    return Rules(
        subject_kinds={name: SubjectKind(kind) for name, kind in endpoint.subject_kinds.items()},
        erasure_types=None if endpoint.erasure_types is None else frozenset(endpoint.erasure_types),
        regulation=endpoint.regulation,
    )


@dataclass(frozen=True, slots=True)
class Ignored:
    """A delivery that asks for nothing that Lethe does. It is acknowledged, so that it is not sent again."""

    reason: str


class Secrets(Protocol):
    """What verifies a provider's deliveries."""

    def new_secret(self) -> str | None:
        """A fresh secret to hand to the sender; None if the sender has the key and gives us the public part."""

    def check_secret(self, secret: str) -> None:
        """Raises InvalidInput: it cannot verify anything."""


class InboundProvider(Secrets, Protocol):
    """`verify` comes before `read`: nothing is parsed that did not prove where it comes from."""

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> None:
        """Raises NotFromSender: no secret proves that the sender sent these bytes, or not lately."""

    def read(self, delivery: Delivery, rules: Rules) -> Ask | Ignored:
        """What a verified delivery asks for.

        Raises:
            Unreadable, InvalidInput.
        """
