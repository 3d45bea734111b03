"""All queries, one class a topic, each bound to the session of one transaction."""

from service.store.repositories.access import AccessRepository
from service.store.repositories.callbacks import CallbackRepository
from service.store.repositories.datasets import DatasetRepository
from service.store.repositories.feed import FeedRepository
from service.store.repositories.inbound import InboundRepository
from service.store.repositories.journal import JournalRepository
from service.store.repositories.ledger import LedgerRepository
from service.store.repositories.lines import LineRepository
from service.store.repositories.reports import ReportRepository
from service.store.repositories.request_filter import RequestFilter
from service.store.repositories.requests import RequestRepository
from service.store.repositories.runs import RunRepository
from service.store.repositories.serving import ServingRepository
from service.store.repositories.targets import NamedTarget, TargetRepository
from service.store.repositories.texts import TextRepository
from service.store.repositories.trees import TreeRepository
from service.store.repositories.versions import VersionRepository
from service.store.repositories.visibility import View
from service.store.repositories.webhooks import WebhookRepository

__all__ = [
    "AccessRepository",
    "CallbackRepository",
    "DatasetRepository",
    "FeedRepository",
    "InboundRepository",
    "JournalRepository",
    "LedgerRepository",
    "LineRepository",
    "NamedTarget",
    "ReportRepository",
    "RequestFilter",
    "RequestRepository",
    "RunRepository",
    "ServingRepository",
    "TargetRepository",
    "TextRepository",
    "TreeRepository",
    "VersionRepository",
    "View",
    "WebhookRepository",
]
