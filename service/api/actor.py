"""Who a call is made by."""

from dataclasses import dataclass

from service.domain.scopes import Scope


@dataclass(frozen=True, slots=True)
class Actor:
    """An API key (`key_…`), or a person or workload of the identity provider (`oidc:…`), and what it may do.

    `lines`: names of the adapter lines it is bound to; None for all.
    """

    id: str
    scopes: frozenset[Scope]
    lines: frozenset[str] | None

    def sees(self, line: str) -> bool:
        return self.lines is None or line in self.lines
