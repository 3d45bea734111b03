"""The Python client: `Lethe`, and `AsyncLethe` with the same methods to be awaited.

Needs neither the service's side nor torch. Refusals are raised as errors of `service.domain.errors`.
"""

from service.client.methods import AsyncLethe, Lethe
from service.client.problems import Unavailable, Unexpected, Unreachable
from service.client.progress import progress_bar
from service.client.unlearning import correct_response, looking_for, modify_query, remove, unlearning
from service.client.verifying import verify

__all__ = [
    "AsyncLethe",
    "Lethe",
    "Unavailable",
    "Unexpected",
    "Unreachable",
    "correct_response",
    "looking_for",
    "modify_query",
    "progress_bar",
    "remove",
    "unlearning",
    "verify",
]
