"""What is looked for in the table of requests, as its address says it.

Addresses are kept by browsers and proxies, so a data subject is in them only as the keyed hashes by which requests
that name it are found.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Query

from service.api.desk.forms import Fields
from service.api.desk.visit import Visit
from service.api.visibility import view_of, visible_line
from service.domain.errors import InvalidInput
from service.domain.states import RequestState
from service.domain.subjects import Identity
from service.store.database import Unit
from service.store.repositories import RequestFilter

ADDRESS = "/desk/requests"

_HASHES = re.compile(r"[0-9a-f]{64}(\.[0-9a-f]{64}){0,19}")


class Clock(StrEnum):
    """How requests stand against their due dates."""

    open = "open"
    soon = "soon"
    overdue = "overdue"


@dataclass(frozen=True, slots=True)
class Filters:
    """Empty or None: anything. `subject`: keyed hashes with dots between them."""

    state: RequestState | None
    clock: Clock | None
    adapter: str
    regulation: str
    reference: str
    subject: str

    @property
    def named(self) -> dict[str, str]:
        """Those that are set, as they are written into addresses."""
        given = {
            "state": self.state,
            "clock": self.clock,
            "adapter": self.adapter,
            "regulation": self.regulation,
            "reference": self.reference,
            "subject": self.subject,
        }
        return {name: str(value) for name, value in given.items() if value}

    def address(self, *, below: str = "", **others: str) -> str:
        query = urlencode({**self.named, **others})
        return f"{ADDRESS}{below}?{query}" if query else f"{ADDRESS}{below}"

    def as_stored(self, unit: Unit, visit: Visit) -> RequestFilter:
        """Kept to what the visitor sees. Raises NotFound: there is no such line."""
        soon = self.clock is Clock.soon
        return RequestFilter(
            state=self.state,
            line_id=visible_line(unit, visit.actor, self.adapter).id if self.adapter else None,
            client_reference=self.reference or None,
            regulation=self.regulation or None,
            subject=tuple(self.subject.split(".")) if self.subject else None,
            due_after=unit.now if soon else None,
            due_before=unit.now + visit.context.settings.due_soon if soon else None,
            is_open=self.clock in (Clock.open, Clock.soon),
            overdue_at=unit.now if self.clock is Clock.overdue else None,
            view=view_of(visit.actor),
        )


def filters(
    state: Annotated[str, Query(max_length=32)] = "",
    clock: Annotated[str, Query(max_length=32)] = "",
    adapter: Annotated[str, Query(max_length=63)] = "",
    regulation: Annotated[str, Query(max_length=32)] = "",
    reference: Annotated[str, Query(max_length=200)] = "",
    subject: Annotated[str, Query(max_length=1300)] = "",
) -> Filters:
    return Filters(
        state=RequestState(state) if state in RequestState.__members__ else None,
        clock=Clock(clock) if clock in Clock.__members__ else None,
        adapter=adapter.strip(),
        regulation=regulation.strip(),
        reference=reference.strip(),
        subject=subject if _HASHES.fullmatch(subject) else "",
    )


InFilters = Annotated[Filters, Depends(filters)]


def filters_of(fields: Fields, *, subject: str) -> Filters:
    """Those of a form, with another subject."""
    others = {name: fields.text(name) or "" for name in ("state", "clock", "adapter", "regulation", "reference")}
    return filters(**others, subject=subject)


def subject_names(visit: Visit, fields: Fields) -> str:
    """The keyed hashes of whom a form names; empty if it names nobody. Raises InvalidInput."""
    value, kind = fields.text("who"), fields.text("kind")
    if value is None:
        return ""
    try:
        identity = Identity.model_validate({"kind": kind, "value": value})
    except ValueError:
        raise InvalidInput("Nobody can be called that.", field="who", fix="At most 200 characters.") from None
    return ".".join(visit.context.vault.hashes.subject_names(identity))
