"""What `Lethe` and `AsyncLethe` can do, declared once: a method is a procedure, and its owner says how it is run."""

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Generic, ParamSpec, TypeVar, overload

from service.client import downloads, fetching, following
from service.client.call import Call
from service.client.calls import adapters, datasets, inbound, operations, requests, serving, versions, webhooks
from service.client.drivers import AsyncDriver, Driver
from service.client.sending import every, send
from service.client.steps import Items, Steps

P = ParamSpec("P")
T = TypeVar("T")


class Does(Generic[P, T]):
    """A method that runs a procedure: it returns what that returns, or an awaitable of it."""

    def __init__(self, procedure: Callable[P, Steps[T]]) -> None:
        self._procedure = procedure

    @overload
    def __get__(self, owner: Driver, kind: object = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, owner: AsyncDriver, kind: object = None) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, owner: Driver | AsyncDriver, kind: object = None) -> Callable[P, T | Coroutine[Any, Any, T]]:
        @functools.wraps(self._procedure)
        def method(*arguments: P.args, **options: P.kwargs) -> T | Coroutine[Any, Any, T]:
            return owner.run(self._procedure(*arguments, **options))

        return method


class Gives(Generic[P, T]):
    """A method that gives what a procedure gives, one after the other: an iterator, or an asynchronous one."""

    def __init__(self, procedure: Callable[P, Items[T]]) -> None:
        self._procedure = procedure

    @overload
    def __get__(self, owner: Driver, kind: object = None) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, owner: AsyncDriver, kind: object = None) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, owner: Driver | AsyncDriver, kind: object = None) -> Callable[P, Iterator[T] | AsyncIterator[T]]:
        @functools.wraps(self._procedure)
        def method(*arguments: P.args, **options: P.kwargs) -> Iterator[T] | AsyncIterator[T]:
            return owner.each(self._procedure(*arguments, **options))

        return method


def asks(describe: Callable[P, Call[T]]) -> Does[P, T]:
    """A method that makes one call."""

    @functools.wraps(describe)
    def procedure(*arguments: P.args, **options: P.kwargs) -> Steps[T]:
        return send(describe(*arguments, **options))

    return Does(procedure)


class Methods:
    """Methods that make a call are called like the API's operation, and described where the call is.

    All of them raise LetheError (`service.client.problems`).
    """

    create_dataset = asks(datasets.create_dataset)
    create_dataset_from_uri = asks(datasets.create_dataset_from_uri)
    list_datasets = Gives(every(datasets.list_datasets))
    get_dataset = asks(datasets.get_dataset)

    create_adapter = asks(adapters.create_adapter)
    list_adapters = Gives(every(adapters.list_adapters))
    get_adapter = asks(adapters.get_adapter)
    update_adapter = asks(adapters.update_adapter)
    retire_adapter = asks(adapters.retire_adapter)
    create_rebuild = asks(adapters.create_rebuild)
    withdraw_versions = asks(adapters.withdraw_versions)
    list_aliases = asks(adapters.list_aliases)
    get_alias = asks(adapters.get_alias)
    set_alias = asks(adapters.set_alias)
    delete_alias = asks(adapters.delete_alias)
    begin_canary = asks(adapters.begin_canary)
    end_canary = asks(adapters.end_canary)
    observe_canary = asks(adapters.observe_canary)
    promote_canary = asks(adapters.promote_canary)

    train = asks(versions.train)
    import_adapter = asks(versions.import_adapter)
    list_versions = Gives(every(versions.list_versions))
    get_version = asks(versions.get_version)
    get_probe = asks(versions.get_probe)
    plan_roll_forward = asks(versions.plan_roll_forward)
    create_roll_forward = asks(versions.create_roll_forward)
    download_archive = Does(downloads.download_archive)
    download_file = Does(downloads.download_file)
    get_presigned_url = asks(versions.get_presigned_url)
    download_signature = asks(versions.download_signature)
    get_manifest = asks(versions.get_manifest)
    fetch = Does(fetching.fetch)

    create_plan = asks(requests.create_plan)
    create_request = asks(requests.create_request)
    list_requests = Gives(every(requests.list_requests))
    search_requests = Gives(every(requests.search_requests))
    export_requests = asks(requests.export_requests)
    get_request = asks(requests.get_request)
    get_report = asks(requests.get_report)
    get_report_page = asks(requests.get_report_page)
    get_receipt = asks(requests.get_receipt)
    get_refusal = asks(requests.get_refusal)
    list_certificates = asks(requests.list_certificates)
    approve_request = asks(requests.approve_request)
    reject_request = asks(requests.reject_request)
    accept_request = asks(requests.accept_request)
    cancel_request = asks(requests.cancel_request)
    hold_request = asks(requests.hold_request)
    release_request = asks(requests.release_request)
    extend_request = asks(requests.extend_request)
    retry_request = asks(requests.retry_request)
    list_swap_receipts = asks(serving.list_swap_receipts)
    get_summary = asks(requests.get_summary)
    export_summary = asks(requests.export_summary)
    list_status_callbacks = asks(webhooks.list_status_callbacks)
    list_runs = Gives(every(requests.list_runs))
    get_run = asks(requests.get_run)

    create_serving_target = asks(serving.create_serving_target)
    list_serving_targets = Gives(every(serving.list_serving_targets))
    get_serving_target = asks(serving.get_serving_target)
    delete_serving_target = asks(serving.delete_serving_target)

    create_inbound_endpoint = asks(inbound.create_inbound_endpoint)
    list_inbound_endpoints = Gives(every(inbound.list_inbound_endpoints))
    get_inbound_endpoint = asks(inbound.get_inbound_endpoint)
    update_inbound_endpoint = asks(inbound.update_inbound_endpoint)
    delete_inbound_endpoint = asks(inbound.delete_inbound_endpoint)
    create_inbound_secret = asks(inbound.create_inbound_secret)
    delete_inbound_secret = asks(inbound.delete_inbound_secret)

    create_webhook_endpoint = asks(webhooks.create_webhook_endpoint)
    list_webhook_endpoints = Gives(every(webhooks.list_webhook_endpoints))
    get_webhook_endpoint = asks(webhooks.get_webhook_endpoint)
    update_webhook_endpoint = asks(webhooks.update_webhook_endpoint)
    delete_webhook_endpoint = asks(webhooks.delete_webhook_endpoint)
    rotate_webhook_secret = asks(webhooks.rotate_webhook_secret)
    try_webhook_endpoint = asks(webhooks.try_webhook_endpoint)
    recover_webhook_deliveries = asks(webhooks.recover_webhook_deliveries)
    list_webhook_deliveries = Gives(every(webhooks.list_webhook_deliveries))
    get_webhook_delivery = asks(webhooks.get_webhook_delivery)
    resend_webhook_delivery = asks(webhooks.resend_webhook_delivery)

    list_events = asks(operations.list_events)
    follow_events = Gives(following.follow_events)
    wait_for_request = Does(following.wait_for_request)
    wait_for_run = Does(following.wait_for_run)
    wait_for_version = Does(following.wait_for_version)
    export_audit = Gives(every(operations.export_audit))
    export_audit_lines = Gives(downloads.export_audit_lines)
    get_audit_head = asks(operations.get_audit_head)

    create_key = asks(operations.create_key)
    list_keys = Gives(every(operations.list_keys))
    rotate_key = asks(operations.rotate_key)
    delete_key = asks(operations.delete_key)
    list_signing_keys = asks(operations.list_signing_keys)
    rotate_signing_key = asks(operations.rotate_signing_key)
    revoke_signing_key = asks(operations.revoke_signing_key)
    get_jwks = asks(operations.get_jwks)
    get_model_signing_key = asks(operations.get_model_signing_key)

    get_livez = asks(operations.get_livez)
    get_readyz = asks(operations.get_readyz)
    get_metrics = asks(operations.get_metrics)
    get_version_info = asks(operations.get_version_info)


class Lethe(Methods, Driver):
    """A connection to one service with one API key."""


class AsyncLethe(Methods, AsyncDriver):
    """A connection to one service with one API key; methods are awaited, lists are iterated with `async for`."""
