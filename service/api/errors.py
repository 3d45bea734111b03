"""What can be wrong with a call as HTTP, before any flow is asked."""

import math
from collections.abc import Mapping

from service.domain.errors import LetheError

PROVIDER_RETRY_S = 10


class HttpError(LetheError):
    """`headers` go out with the problem document."""

    headers: Mapping[str, str] = {}


class Malformed(HttpError):
    status = 400
    default_code = "malformed"
    title = "The call is malformed"


class PreconditionFailed(HttpError):
    status = 412
    default_code = "precondition-failed"
    title = "The precondition does not hold"


class UnsupportedMediaType(HttpError):
    status = 415
    default_code = "unsupported-media-type"
    title = "The media type is not accepted here"


class ErasuresPending(HttpError):
    status = 503
    default_code = "erasures-pending"
    title = "Erasures are being done again"
    headers = {"Retry-After": "2"}

    def __init__(self) -> None:
        super().__init__(
            "An older database was restored; what was erased since its backup is being done again.",
            fix="Repeat the call with the same Idempotency-Key; /readyz tells how much is left.",
        )


class RangeNotSatisfiable(HttpError):
    status = 416
    default_code = "range-not-satisfiable"
    title = "The range lies outside the file"

    def __init__(self, size: int) -> None:
        super().__init__("The range lies outside the file.", fix=f"Ask for bytes 0 to {size - 1}.")
        self.headers = {"Content-Range": f"bytes */{size}"}


class TooManyCalls(HttpError):
    status = 429
    default_code = "too-many-calls"
    title = "Too many calls"

    def __init__(self, detail: str, *, wait_s: float, code: str | None = None) -> None:
        seconds = max(1, math.ceil(wait_s))
        super().__init__(detail, fix="Wait as long as `Retry-After` says.", code=code, extra={"retry_after": seconds})
        self.headers = {"Retry-After": str(seconds)}


class ProviderAway(HttpError):
    status = 503
    default_code = "identity-provider-unavailable"
    title = "The identity provider is away"

    def __init__(self) -> None:
        super().__init__("The keys of the identity provider cannot be read.", fix="Repeat the call, or use a key.")
        self.headers = {"Retry-After": str(PROVIDER_RETRY_S)}


class OpenDsrRefused(HttpError):
    """What OpenDSR controllers are told (section 7.6): `error` beside the members of a problem document."""

    status = 400
    title = "The request cannot be accepted"

    def __init__(self, cause: LetheError) -> None:
        told = {"domain": "Validation", "reason": cause.code, "message": cause.detail}
        error = {"code": self.status, "message": cause.detail, "errors": [told]}
        extra = {**cause.extra, "error": error}
        super().__init__(cause.detail, field=cause.field, fix=cause.fix, code=cause.code, extra=extra)


class HubNotFound(HttpError):
    """What Hub clients are told: `error_code` is `RepoNotFound`, `RevisionNotFound` or `EntryNotFound`."""

    status = 404
    title = "Not found"

    def __init__(self, cause: LetheError, error_code: str) -> None:
        super().__init__(cause.detail, field=cause.field, fix=cause.fix, code=cause.code)
        self.headers = {
            "X-Error-Code": error_code,
            "X-Error-Message": " ".join(filter(None, (cause.detail, cause.fix))),
        }


class DatabaseAway(HttpError):
    status = 503
    default_code = "database-unavailable"
    title = "The database is away"

    def __init__(self) -> None:
        super().__init__("The database does not answer.", fix="Repeat the call with the same Idempotency-Key.")
        self.headers = {"Retry-After": "2"}
