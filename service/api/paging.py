"""Keyset pages behind opaque cursors.

A cursor is a position sealed under the master key and bound to the caller and the filter of its first
call, so it reveals nothing, cannot be made up, and does not fit another list (AIP-158).
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query

from service.api.auth import Caller
from service.api.context import InContext
from service.api.errors import Malformed
from service.domain.errors import Corrupted
from service.evidence.sealing import Sealed, Sealer

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
_KEY_BYTES = 61


@dataclass(frozen=True, slots=True)
class Paging:
    """A caller's place in one list. `limit` is at most 1000."""

    sealer: Sealer
    actor_id: str
    cursor: str | None
    limit: int

    def position(self, list_: str, filters: Mapping[str, object] | None = None) -> str | None:
        """Where to go on; None at the start.

        Raises:
            Malformed: this is no cursor of this list, filter and caller.
        """
        if self.cursor is None:
            return None
        try:
            data = base64.b64decode(self.cursor.encode("ascii"), altchars=b"-_", validate=True)
            sealed = Sealed(data[_KEY_BYTES:], data[:_KEY_BYTES])
            return self.sealer.unseal(sealed, context=self._context(list_, filters)).decode()
        except (UnicodeEncodeError, binascii.Error, Corrupted):
            raise Malformed(
                "The cursor does not belong to this list.",
                field="cursor",
                fix="Repeat the call without it, or with the filters of the call that returned it.",
                code="invalid-cursor",
            ) from None

    def after(self, position: str | None, list_: str, filters: Mapping[str, object] | None = None) -> str | None:
        """The cursor of the page after `position`; None if there is none."""
        if position is None:
            return None
        sealed = self.sealer.seal(position.encode(), context=self._context(list_, filters))
        return base64.urlsafe_b64encode((sealed.wrapped_key or b"") + sealed.ciphertext).decode()

    def _context(self, list_: str, filters: Mapping[str, object] | None) -> str:
        return json.dumps(["cursor", self.actor_id, list_, filters or {}], sort_keys=True, default=str)


async def _paging(
    context: InContext,
    actor: Caller,
    cursor: Annotated[
        str | None, Query(max_length=2000, description="The `next_cursor` of the previous page, under equal filters.")
    ] = None,
    limit: Annotated[
        int, Query(ge=1, description=f"Items a page; more than {MAX_LIMIT} means {MAX_LIMIT}.")
    ] = DEFAULT_LIMIT,
) -> Paging:
    return Paging(context.vault.sealer, actor.id, cursor, min(limit, MAX_LIMIT))


InPages = Annotated[Paging, Depends(_paging)]
