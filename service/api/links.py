"""What can be called next with what an answer holds, as OpenAPI links: operation to operation."""

from collections.abc import Iterable, Mapping
from typing import Any

_ID = "$response.body#/id"
_LINE = "$request.path.name"
_ALIAS = {"name": _LINE, "alias": "$request.path.alias"}
_REQUEST = (
    "get_request", "get_report", "get_receipt", "list_certificates", "list_swap_receipts", "approve_request",
    "reject_request", "accept_request", "cancel_request", "hold_request", "release_request", "extend_request",
    "retry_request",
)  # fmt: skip
_WEBHOOK = (
    "get_webhook_endpoint", "update_webhook_endpoint", "rotate_webhook_secret", "try_webhook_endpoint",
    "recover_webhook_deliveries", "list_webhook_deliveries", "delete_webhook_endpoint",
)  # fmt: skip
_INBOUND = ("get_inbound_endpoint", "update_inbound_endpoint", "create_inbound_secret", "delete_inbound_endpoint")
_LINE_CALLS = (
    "get_adapter", "update_adapter", "create_version", "list_versions", "list_aliases", "create_rebuild",
    "withdraw_versions", "retire_adapter",
)  # fmt: skip
_VERSION = ("get_version", "get_probe", "download_archive", "download_signature")


def _to(operations: Iterable[str], parameters: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    return dict.fromkeys(operations, parameters)


LINKS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "create_dataset": _to(["get_dataset"], {"dataset_id": _ID}),
    "create_adapter": _to(_LINE_CALLS, {"name": "$response.body#/name"}),
    "create_version": _to(_VERSION, {"name": _LINE, "version": "$response.body#/version"}),
    "set_alias": _to(["get_alias", "begin_canary", "delete_alias"], _ALIAS),
    "begin_canary": _to(["observe_canary", "promote_canary", "end_canary"], _ALIAS),
    "create_rebuild": _to(["get_run"], {"run_id": _ID}),
    "create_request": _to(_REQUEST, {"request_id": _ID}),
    "create_serving_target": _to(["get_serving_target", "delete_serving_target"], {"target_id": _ID}),
    "create_webhook_endpoint": _to(_WEBHOOK, {"endpoint_id": _ID}),
    "create_inbound_endpoint": _to(_INBOUND, {"endpoint_id": _ID}),
    "create_inbound_secret": _to(
        ["delete_inbound_secret"],
        {"endpoint_id": "$request.path.endpoint_id", "secret_id": "$response.body#/secrets/0/id"},
    ),
    "create_key": _to(["delete_key"], {"key_id": _ID}),
}


def add_links(document: dict[str, Any]) -> None:
    """Add them to an OpenAPI document, at the answer of success."""
    for methods in document["paths"].values():
        for operation in methods.values():
            links = LINKS.get(operation["operationId"])
            if links is not None:
                success = next(status for status in operation["responses"] if status.startswith("2"))
                operation["responses"][success]["links"] = {
                    target: {"operationId": target, "parameters": dict(parameters)}
                    for target, parameters in links.items()
                }
