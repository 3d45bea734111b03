"""What vLLM asks for a model that it does not know. It never raises, never blocks the server's event loop, and says
no unless Lethe says yes: a `no` is an ordinary 404 for the client.

vLLM asks one at a time for each name, and once it has been given an adapter, not again until the name is unloaded.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .absent import Absent
from .fetch import Fetcher, NotServed, Placed
from .follower import Follower
from .held import Entry, Held
from .lethe import Damaged, Event, Lethe, Refused, Unreachable
from .names import Name, parse
from .settings import Settings
from .shelf import Shelf

log = logging.getLogger("vllm.plugins.lethe")
_FETCHES = 4
# What may make a name exist that was refused a moment ago.
_APPEARING = frozenset({"version.ready", "alias.moved"})


class Resolver:
    """One deployment of Lethe for one server.

    Args:
        make_request: makes what vLLM wants to be given, of a name and an absolute path.
    """

    def __init__(self, settings: Settings, make_request: Callable[[str, str], Any]) -> None:
        lethe, shelf = Lethe(settings.url, settings.api_key), Shelf(settings.cache)
        self._settings, self._make_request = settings, make_request
        self._fetcher = Fetcher(settings, lethe, shelf)
        self._follower = Follower(lethe, shelf, settings.lease_s)
        self._absent, self._held = Absent(), Held()
        # Not the server's own threads: those must not wait for Lethe.
        self._threads = ThreadPoolExecutor(_FETCHES, thread_name_prefix="lethe")
        self._feed_thread = ThreadPoolExecutor(1, thread_name_prefix="lethe-feed")
        self._following: asyncio.Task[None] | None = None
        self._troubled = False

    async def resolve(self, base: str, model: str) -> Any | None:
        """The adapter that a model's name stands for; None if it is not ours to serve.

        Args:
            base: the base model as vLLM was told to load it.
        """
        name = parse(model, aliases=self._settings.aliases)
        if name is None or (self._settings.lines is not None and name.line not in self._settings.lines):
            return None
        if self._absent.holds(model, time.monotonic()):
            return None
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow())
        placed = await self._fetched(base, name)
        if placed is None:
            self._absent.add(model, time.monotonic())
            return None
        self._follower.follow(placed.version.id)
        request = self._make_request(model, str(placed.directory))
        self._held.add(Entry(model, request, placed.lock))
        return request

    async def _fetched(self, base: str, name: Name) -> Placed | None:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._fetcher.fetch, base, name)
        except NotServed as error:
            log.warning("Lethe: %s is not served: %s", name, error)
        except Exception as error:  # noqa: BLE001 - vLLM would fail the request and skip other resolvers
            log.error("Lethe: %s is not served: %s", name, type(error).__name__)
        return None

    async def _follow(self) -> None:
        """Until the server ends."""
        try:
            while True:
                # First, so that the files of what was unloaded can go in this pass.
                self._held.release_unused()
                await self._read_feed()
                await asyncio.sleep(self._settings.poll_s)
        finally:
            self._held.close()

    async def _read_feed(self) -> None:
        try:
            for event in await asyncio.get_running_loop().run_in_executor(self._feed_thread, self._pass):
                self._note(event)
            self._troubled = False
        except Exception as error:  # noqa: BLE001 - whatever it is, leases run out, and the next pass may succeed
            known = isinstance(error, Unreachable | Refused | Damaged)
            if not self._troubled:
                log.warning("Lethe: the feed cannot be read: %s", error if known else type(error).__name__)
            self._troubled = True

    def _pass(self) -> list[Event]:
        try:
            return self._follower.catch_up()
        finally:
            self._follower.remove_withdrawn()

    def _note(self, event: Event) -> None:
        if event.line is None:
            return
        if event.type in _APPEARING:
            self._absent.forget_line(event.line)
        if event.type == "version.withdrawn" and event.version is not None:
            log.warning("Lethe: %s was withdrawn and is not resolved any more", event.version)
        if event.type == "alias.moved" and f"{event.line}@{event.alias}" in self._held.names():
            log.warning(
                "Lethe: %s@%s moved; vLLM answers as before until that name is unloaded", event.line, event.alias
            )
