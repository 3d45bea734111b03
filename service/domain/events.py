"""Every type of event in the feed, and filters over them."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

EVENT_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "adapter.created": "An adapter line was made.",
        "adapter.policy_changed": "The policy of a line was changed.",
        "adapter.retired": "A line is out of service for good.",
        "alias.moved": "An alias points at another version.",
        "alias.removed": "An alias is gone.",
        "canary.ended": "A version's trial is over.",
        "canary.started": "A version is tried on a share of an alias's traffic.",
        "certificate.issued": "A request has a certificate for one more line, or a better one.",
        "dataset.created": "A dataset was taken in.",
        "erasures.reapplied": "An older database was restored; what was erased since was erased again.",
        "ledger.drifted": "An update left what was predicted of it; the line is rebuilt.",
        "ledger.due": "The policy had a rebuild queued; `because` of the ledger's age, count, drift, or shredding.",
        "replica.failed": "An inference server could not be brought to a version.",
        "replica.swapped": "An inference server was proven to serve a version.",
        "request.accepted": "An operator accepted an outcome that falls short.",
        "request.created": "An unlearning request came in.",
        "request.due_soon": "An open request is due soon, by the setting LETHE_DUE_SOON_DAYS.",
        "request.extended": "The due date of a request was extended.",
        "request.held": "A request was put on hold.",
        "request.overdue": "An open request is past its due date.",
        "request.released": "A request is no longer on hold.",
        "request.restored": "A request that was lost with the database was filed again.",
        "request.state": "A request has another state.",
        "run.canceled": "A run is not wanted any more.",
        "run.escalated": "Requests go to a rebuild instead.",
        "run.failed": "A run failed for good.",
        "run.progress": "A run has got further. About one a second while runs run.",
        "run.requeued": "A run is to be tried again, or gave way to another.",
        "run.started": "A worker began a run.",
        "run.succeeded": "A run is done.",
        "serving_target.added": "Inference servers were registered.",
        "serving_target.removed": "Inference servers are no longer driven.",
        "shredding.overdue": "Data should have been shredded by now.",
        "signing_key.revoked": "A signing key is not to be trusted any more.",
        "signing_key.rotated": "Another key signs from now on.",
        "version.created": "A version is being prepared.",
        "version.ready": "A version can be served.",
        "version.rejected": "A version failed its checks.",
        "version.withdrawn": "A version may not be served any more.",
        "webhook_endpoint.changed": "A webhook endpoint, or its secret, was changed.",
        "webhook_endpoint.created": "A webhook endpoint was made.",
        "webhook_endpoint.deleted": "A webhook endpoint is gone.",
        "webhook_endpoint.disabled": "A webhook endpoint gets nothing any more: it answered 410, or nothing for days.",
    }
)
# Told only to those who name it.
NOISE = frozenset({"run.progress"})
# Sent by hand to try an endpoint; never in the feed.
TEST_EVENT = "webhook_endpoint.test"

# `request.state`, or all types below a word: `request.*`.
FILTER = re.compile(r"[a-z_]+\.([a-z_]+|\*)")


def known_filters() -> list[str]:
    """Every filter that matches something."""
    return sorted({*EVENT_TYPES, *(f"{type_.partition('.')[0]}.*" for type_ in EVENT_TYPES)})


def unknown_filters(filters: Sequence[str]) -> list[int]:
    """The positions of filters that match no type."""
    return [position for position, one in enumerate(filters) if not any(_matches(one, type_) for type_ in EVENT_TYPES)]


def is_wanted(type_: str, filters: Sequence[str] | None) -> bool:
    """Whether filters let a type through. None lets all through but noise, which a filter has to name in full."""
    if filters is None:
        return type_ not in NOISE
    return any(_matches(one, type_) and (type_ not in NOISE or one == type_) for one in filters)


def _matches(one: str, type_: str) -> bool:
    return one == type_ or (one.endswith(".*") and type_.startswith(one[:-1]))
