"""A call is repeated until it is answered, and carried out once.

A connection that breaks, 429, 502, 503 and 504 are no answers: the call is made again after a pause that grows, or as
long as `Retry-After` says (RFC 9110, section 10.2.3). Every attempt of a call that creates something bears the same
`Idempotency-Key`, so that one whose answer was lost is not done twice. Other POSTs, such as approving a request, are
made again only if the service cannot have carried them out.
"""

import functools
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import count
from typing import ParamSpec, TypeVar

import httpx

from service.client.answers.common import Page
from service.client.call import Call
from service.client.problems import UNAVAILABLE, refusal, unexpected, unreachable
from service.client.steps import Item, Items, Open, Pause, Send, Steps

ATTEMPTS = 5
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 8.0
# Who asks for more patience than this is not waited for.
LONGEST_RETRY_AFTER_S = 60.0
# Nothing was sent, or it was sent back undone.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NOT_DONE = frozenset({429, 503})

P = ParamSpec("P")
T = TypeVar("T")


def send(call: Call[T]) -> Steps[T]:
    """What a call is answered.

    Raises:
        LetheError: the service refused, stayed away, or answered what this client cannot read.
    """
    response = yield from answered(Send(call))
    try:
        return call.read(response)
    except (ValueError, LookupError, TypeError) as error:
        raise unexpected(response, "this client cannot read that") from error


def answered(step: Send | Open) -> Steps[httpx.Response]:
    """The response to a call, once it is one. Raises LetheError."""
    for attempt in count(1):
        is_last = attempt == ATTEMPTS
        pause = min(FIRST_PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S) * random.uniform(0.5, 1)
        try:
            response: httpx.Response = yield step
        except httpx.TransportError as error:
            if is_last or not (step.call.may_be_repeated or isinstance(error, _NOT_SENT)):
                raise unreachable(error) from error
        else:
            if response.has_redirect_location and not step.call.redirects:
                raise unexpected(response, "it is elsewhere; name that URL (LETHE_URL)")
            if not response.is_error:
                return response
            asked = retry_after_s(response.headers, now=datetime.now(UTC))
            if is_last or asked > LONGEST_RETRY_AFTER_S or not _may_repeat(step.call, response.status_code):
                raise refusal(response)
            pause = max(pause, asked)
        yield Pause(pause)
    raise AssertionError("the last attempt returns or raises")


def every(describe: Callable[P, Call[Page[T]]]) -> Callable[P, Items[T]]:
    """The items of a cursor-paged list, page by page, as a procedure; `limit` is the size of a page."""

    @functools.wraps(describe)
    def items(*arguments: P.args, **options: P.kwargs) -> Items[T]:
        call = describe(*arguments, **options)
        while True:
            page = yield from send(call)
            for item in page.items:
                yield Item(item)
            if page.next_cursor is None:
                return
            call = replace(call, params={**call.params, "cursor": page.next_cursor})

    return items


def retry_after_s(headers: Mapping[str, str], *, now: datetime) -> float:
    """Seconds that a Retry-After header asks for, as a number or as a date; 0 without one, or with nonsense."""
    value = headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())


def _may_repeat(call: Call[T], status: int) -> bool:
    return status in (UNAVAILABLE if call.may_be_repeated else _NOT_DONE)
