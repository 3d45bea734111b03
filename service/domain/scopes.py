"""What an API key may do."""

from enum import StrEnum


class Scope(StrEnum):
    """`resource:verb`. Approving is apart from creating, so that four eyes can be two keys."""

    datasets_read = "datasets:read"
    datasets_write = "datasets:write"
    adapters_read = "adapters:read"
    adapters_write = "adapters:write"
    requests_read = "requests:read"
    requests_create = "requests:create"
    requests_manage = "requests:manage"
    requests_approve = "requests:approve"
    runs_read = "runs:read"
    events_read = "events:read"
    audit_read = "audit:read"
    keys_manage = "keys:manage"
    inbound_manage = "inbound:manage"
    webhooks_manage = "webhooks:manage"


EVERY_SCOPE = frozenset(Scope)
