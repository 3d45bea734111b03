"""The schema. One module a topic; importing this package registers every table."""

from service.store.tables.access import ApiKey, ApiToken, DeskSession, IdempotentResponse, SigningKey
from service.store.tables.adapters import Alias, LedgerEntry, Line, Version
from service.store.tables.base import Base
from service.store.tables.callbacks import StatusCallback
from service.store.tables.data import (
    Dataset,
    InstanceRow,
    InstanceSubject,
    JournalRow,
    SealedText,
    SealedTree,
    SubjectAlias,
    Suppression,
)
from service.store.tables.evidence import AuditRow, Certificate, Event
from service.store.tables.inbound import AgentToken, InboundDelivery, InboundEndpoint, InboundSecret
from service.store.tables.requests import OperationRow, RequestSubject, Target, TargetEdit, UnlearningRequest
from service.store.tables.runs import OutboxRow, Run, WorkerRow
from service.store.tables.serving import Replica, ServingTarget, SwapReceipt
from service.store.tables.webhooks import WebhookDelivery, WebhookEndpoint, WebhookSecret

__all__ = [
    "AgentToken",
    "Alias",
    "ApiKey",
    "ApiToken",
    "AuditRow",
    "Base",
    "Certificate",
    "Dataset",
    "DeskSession",
    "Event",
    "IdempotentResponse",
    "InboundDelivery",
    "InboundEndpoint",
    "InboundSecret",
    "InstanceRow",
    "InstanceSubject",
    "JournalRow",
    "LedgerEntry",
    "Line",
    "OperationRow",
    "OutboxRow",
    "Replica",
    "RequestSubject",
    "Run",
    "SealedText",
    "SealedTree",
    "ServingTarget",
    "SigningKey",
    "StatusCallback",
    "SubjectAlias",
    "Suppression",
    "SwapReceipt",
    "Target",
    "TargetEdit",
    "UnlearningRequest",
    "Version",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookSecret",
    "WorkerRow",
]
