"""Who performs the steps of procedures (`service.client.steps`): one with httpx.Client, one with httpx.AsyncClient."""

import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, closing
from typing import Any, Self, TypeVar

import anyio
import anyio.to_thread
import httpx

from service.client.steps import Item, Items, Open, Pause, Read, Send, Step, Steps, Work

DEFAULT_URL = "http://127.0.0.1:8080"

T = TypeVar("T")


class Driver:
    """Performs steps in the thread that asks for them.

    Args:
        url: where the service is; default: `LETHE_URL`.
        key: the API key; default: `LETHE_API_KEY`.
    """

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self._http = httpx.Client(**_connection(url, key))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def run(self, steps: Steps[T]) -> T:
        """What a procedure returns."""
        with closing(self.each(_last(steps))) as items:
            return next(items)

    def each(self, items: Items[T]) -> Generator[T]:
        """What a procedure gives, one after the other."""
        with closing(items), closing(_Performer(self._http)) as performer:
            course = _Course(items)
            while (step := course.next()) is not None:
                if isinstance(step, Item):
                    yield step.value
                    continue
                try:
                    course.answer = performer.perform(step)
                except (httpx.HTTPError, OSError) as error:
                    course.error = error


class AsyncDriver:
    """Awaits steps.

    Args:
        url: where the service is; default: `LETHE_URL`.
        key: the API key; default: `LETHE_API_KEY`.
    """

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self._http = httpx.AsyncClient(**_connection(url, key))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def run(self, steps: Steps[T]) -> T:
        """What a procedure returns."""
        async with aclosing(self.each(_last(steps))) as items:
            return await anext(items)

    async def each(self, items: Items[T]) -> AsyncGenerator[T]:
        """What a procedure gives, one after the other."""
        with closing(items):
            async with aclosing(_AsyncPerformer(self._http)) as performer:
                course = _Course(items)
                while (step := course.next()) is not None:
                    if isinstance(step, Item):
                        yield step.value
                        continue
                    try:
                        course.answer = await performer.perform(step)
                    except (httpx.HTTPError, OSError) as error:
                        course.error = error


class _Course:
    """A procedure under way: it is told what came of its last step, and says which is the next; None at its end."""

    def __init__(self, items: Items[Any]) -> None:
        self._items = items
        self.answer: Any = None
        self.error: Exception | None = None

    def next(self) -> Step | Item[Any] | None:
        answer, error = self.answer, self.error
        self.answer = self.error = None
        try:
            return self._items.send(answer) if error is None else self._items.throw(error)
        except StopIteration:
            return None


class _Performer:
    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._open: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def close(self) -> None:
        if self._open is not None:
            self._open.close()

    def perform(self, step: Step) -> Any:
        match step:
            case Send(call):
                with call.request(self._http) as request:
                    return self._http.send(request)
            case Open(call):
                self.close()
                with call.request(self._http) as request:
                    self._open = response = self._http.send(request, stream=True)
                if response.is_error:
                    response.read()
                self._chunks = response.iter_bytes()
                return response
            case Read():
                return next(self._chunks, None)
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case Work(do):
                return do()


class _AsyncPerformer:
    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._open: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes]

    async def aclose(self) -> None:
        if self._open is not None:
            await self._open.aclose()

    async def perform(self, step: Step) -> Any:
        match step:
            case Send(call):
                with call.request(self._http) as request:
                    return await self._http.send(request)
            case Open(call):
                await self.aclose()
                with call.request(self._http) as request:
                    self._open = response = await self._http.send(request, stream=True)
                if response.is_error:
                    await response.aread()
                self._chunks = response.aiter_bytes()
                return response
            case Read():
                return await anext(self._chunks, None)
            case Pause(seconds):
                return await anyio.sleep(seconds)
            case Work(do):
                return await anyio.to_thread.run_sync(do)


def _last(steps: Steps[T]) -> Items[T]:
    yield Item((yield from steps))


def _connection(url: str | None, key: str | None) -> dict[str, Any]:
    """How a client of httpx is made."""
    where = url or os.environ.get("LETHE_URL") or DEFAULT_URL
    token = key or os.environ.get("LETHE_API_KEY")
    return {"base_url": where.rstrip("/"), "headers": {} if token is None else {"Authorization": f"Bearer {token}"}}
