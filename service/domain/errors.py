"""Everything that can go wrong for a caller, as one small tree.

    LetheError
    ├── Unreadable             400  what was sent cannot be parsed
    ├── InvalidInput           422  the payload is well-formed JSON but cannot be accepted
    │   ├── InvalidDataset          a JSONL line is broken (names the line)
    │   ├── InvalidArchive          an adapter archive is refused (names the reason)
    │   ├── Unsupported             a PEFT feature that Lethe does not unlearn yet
    │   ├── SelectsNothing          a request whose selection is empty
    │   └── IdempotencyKeyReused    same key, other body
    ├── Unauthenticated        401
    │   └── NotFromSender           a delivery whose signature, key or time does not prove where it comes from
    ├── Forbidden              403
    ├── NotFound               404
    ├── Conflict               409  the resource's present state forbids the call
    │   ├── IllegalTransition       a request or run cannot make this step from its state
    │   ├── AlreadyRemoved          the instance left this line by an earlier request
    │   ├── UndoesErasure           the version is older than an erasure it would undo
    │   ├── Suppressed              the data were erased before and may not come back
    │   └── Busy                    another call holds the resource; retry
    ├── Gone                   410  withdrawn
    │   └── Shredded                the key is destroyed, so the data cannot be read again
    ├── TooLarge               413
    ├── Fenced                 409  a worker lost its lease; its write is refused (internal)
    └── Corrupted              500  stored bytes do not match their digest, seal or signature

`code` is stable and names the problem type; `detail` never repeats submitted text.
"""

from typing import ClassVar


class LetheError(Exception):
    """Base of all errors a caller may see.

    Args:
        detail: one sentence on what is wrong, without any submitted text.
        field: JSON pointer or parameter name of the culprit, if there is one.
        fix: one sentence on how to put it right.
        code: overrides the class's problem code with a more specific one.
        extra: additional members of the problem document.
    """

    status: int = 500
    default_code: ClassVar[str] = "internal-error"
    title: str = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        field: str | None = None,
        fix: str | None = None,
        code: str | None = None,
        extra: dict[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.fix = fix
        self.code = code or self.default_code
        self.extra = extra or {}


class Unreadable(LetheError):
    status = 400
    default_code = "malformed"
    title = "The call is malformed"


class InvalidInput(LetheError):
    status = 422
    default_code = "invalid-input"
    title = "The input cannot be accepted"


class InvalidDataset(InvalidInput):
    default_code = "invalid-dataset"
    title = "The dataset cannot be accepted"


class InvalidArchive(InvalidInput):
    default_code = "invalid-archive"
    title = "The adapter archive cannot be accepted"


class Unsupported(InvalidInput):
    default_code = "unsupported"
    title = "Not supported yet"


class SelectsNothing(InvalidInput):
    default_code = "selects-nothing"
    title = "The request selects nothing"


class IdempotencyKeyReused(InvalidInput):
    default_code = "idempotency-key-reused"
    title = "The idempotency key was used with another body"


class Unauthenticated(LetheError):
    status = 401
    default_code = "unauthenticated"
    title = "Authentication is required"
    challenge: ClassVar[str] = "Bearer"


class NotFromSender(Unauthenticated):
    default_code = "wrong-signature"
    title = "The delivery does not prove where it comes from"
    challenge = "Signature"


class Forbidden(LetheError):
    status = 403
    default_code = "forbidden"
    title = "The key may not do this"


class NotFound(LetheError):
    status = 404
    default_code = "not-found"
    title = "Not found"


class Conflict(LetheError):
    status = 409
    default_code = "conflict"
    title = "The present state forbids this"


class IllegalTransition(Conflict):
    default_code = "illegal-transition"
    title = "Not possible in the present state"


class AlreadyRemoved(Conflict):
    default_code = "instance-already-removed"
    title = "The instance was removed before"


class UndoesErasure(Conflict):
    default_code = "undoes-erasure"
    title = "The version would undo an erasure"


class Suppressed(Conflict):
    default_code = "suppressed"
    title = "The data were erased and may not come back"


class Busy(Conflict):
    default_code = "busy"
    title = "Another call is at work on this resource"


class Fenced(Conflict):
    default_code = "fenced"
    title = "The lease was lost"


class Gone(LetheError):
    status = 410
    default_code = "gone"
    title = "Withdrawn"


class Shredded(Gone):
    default_code = "shredded"
    title = "The data were destroyed"


class TooLarge(LetheError):
    status = 413
    default_code = "too-large"
    title = "Too large"


class Corrupted(LetheError):
    default_code = "corrupted"
    title = "Stored data fail their integrity check"
