"""Inference servers that Lethe drives."""

from collections.abc import Sequence

from service.client.answers.common import Page
from service.client.answers.serving import ServingTarget, SwapReceipt
from service.client.call import Call, Every, Json, One, new_key, nothing, path
from service.client.calls.requests import REQUEST
from service.domain.serving import Precision, ServerKind

TARGETS = "/v1/serving-targets"
TARGET = f"{TARGETS}/{{target_id}}"


def create_serving_target(
    name: str,
    kind: ServerKind,
    *,
    urls: Sequence[str],
    lines: Sequence[str],
    alias: str = "production",
    mount: str | None = None,
    precision: Precision = Precision.bfloat16,
    max_lora_rank: int | None = None,
    target_modules: Sequence[str] | None = None,
    api_key: str | None = None,
    idempotency_key: str | None = None,
) -> Call[ServingTarget]:
    """Register servers: from now on each of `urls` is driven to what the alias of each of `lines` points at.

    Args:
        mount: where the servers see LETHE_SERVING_DIR; None: at the same path.
        precision: what the servers compute in.
        max_lora_rank, target_modules: what they were started with; None: not known, or any.
        api_key: bearer token of the servers.
    """
    body = {
        "name": name,
        "kind": kind,
        "urls": list(urls),
        "lines": list(lines),
        "alias": alias,
        "mount": mount,
        "precision": precision,
        "limits": {
            "max_lora_rank": max_lora_rank,
            "target_modules": None if target_modules is None else list(target_modules),
        },
        "api_key": api_key,
    }
    return Call("POST", TARGETS, One(ServingTarget), body=Json(body), idempotency_key=new_key(idempotency_key))


def list_serving_targets(*, cursor: str | None = None, limit: int | None = None) -> Call[Page[ServingTarget]]:
    """Serving targets with their replicas, newest first."""
    return Call("GET", TARGETS, One(Page[ServingTarget]), params={"cursor": cursor, "limit": limit})


def get_serving_target(target_id: str) -> Call[ServingTarget]:
    """A serving target: which version each replica shall serve, and was proven to serve."""
    return Call("GET", path(TARGET, target_id=target_id), One(ServingTarget))


def delete_serving_target(target_id: str, *, forget: bool = False) -> Call[None]:
    """Have every replica unload the lines, or `forget` servers that are gone for good."""
    params = {"forget": "true" if forget else None}
    return Call("DELETE", path(TARGET, target_id=target_id), nothing, params=params)


def list_swap_receipts(request_id: str) -> Call[list[SwapReceipt]]:
    """Signed statements on which inference replicas serve a version that covers a request."""
    return Call("GET", path(f"{REQUEST}/swap-receipts", request_id=request_id), Every(SwapReceipt))
