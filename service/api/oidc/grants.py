"""What people and workloads of the identity provider may do: rules over the claims of their tokens, in a file.

    [
      {"claim": "groups", "value": "privacy-office", "scopes": ["requests:read", "requests:approve"]},
      {"claim": ["realm_access", "roles"], "value": "bot-team", "scopes": "all", "lines": ["support-bot"]}
    ]

The first rule that fits counts, and no other: scopes of several would mix with each other's lines.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from service.api.actor import Actor
from service.domain.adapters import LineName
from service.domain.errors import InvalidInput
from service.domain.scopes import EVERY_SCOPE, Scope


class Grant(BaseModel):
    """A rule. `claim`: a claim's name, or the way to one inside of others. `lines`: None for all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claim: str | tuple[str, ...] = Field(min_length=1)
    value: str = Field(min_length=1)
    scopes: frozenset[Scope] | Literal["all"] = Field(min_length=1)
    lines: frozenset[LineName] | None = Field(default=None, min_length=1)

    def fits(self, claims: Mapping[str, Any]) -> bool:
        """Whether the claim is the value, lists it, or holds it among words (as `scope` does, RFC 8693)."""
        found: Any = claims
        for name in (self.claim,) if isinstance(self.claim, str) else self.claim:
            found = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(found, str):
            return self.value == found or self.value in found.split(" ")
        return isinstance(found, list) and self.value in found

    def actor(self, id_: str) -> Actor:
        return Actor(id_, EVERY_SCOPE if self.scopes == "all" else self.scopes, self.lines)


_GRANTS = TypeAdapter(tuple[Grant, ...])


def read_grants(file: Path) -> Sequence[Grant]:
    """Raises InvalidInput: the file is not there, or holds no rules."""
    try:
        return _GRANTS.validate_json(file.read_bytes())
    except OSError as error:
        raise InvalidInput("The file of LETHE_OIDC_GRANTS cannot be read.", fix="Check its path.") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = "/".join(map(str, first["loc"]))
        raise InvalidInput(f"LETHE_OIDC_GRANTS, at /{place}: {first['msg']}.", fix="Correct the file.") from error
