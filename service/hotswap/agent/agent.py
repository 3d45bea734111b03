"""One pass after the other: read the feed to its end, then see to it that the server has what it shall have.

What is served stays in service while Lethe cannot be reached, or offers nothing that may be served; only what was
withdrawn goes at once. A server that was restarted knows nothing of its adapters, so it is asked at every pass.
"""

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from service.domain.serving import LONGEST_PAUSE_S, Precision, SwapStep, pause_before
from service.hotswap.agent.pull import Pulled, Puller
from service.hotswap.servers import Server, ServerError
from service.hotswap.swap import PATIENCE_S, Plan, bring, is_done, remove_withdrawn, swap
from service.hotswap.vllm_plugin.fetch import NotServed
from service.hotswap.vllm_plugin.follower import Follower
from service.hotswap.vllm_plugin.lethe import Damaged, Event, Refused, Unreachable

log = logging.getLogger(__name__)
_NEWS = frozenset(
    {"alias.moved", "alias.removed", "canary.started", "canary.ended", "version.ready", "version.withdrawn"}
)
_NO_ANSWER = (NotServed, Unreachable, Refused, Damaged)


@dataclass(frozen=True, slots=True)
class Followed:
    """A line, and the alias that says which of its versions is served."""

    line: str
    alias: str

    def __str__(self) -> str:
        return f"{self.line}@{self.alias}"


class Agent:
    """Keeps one server on the versions that the aliases of some lines point at."""

    def __init__(
        self,
        server: Server,
        puller: Puller,
        follower: Follower,
        followed: Sequence[Followed],
        precision: Precision,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._puller, self._follower = puller, follower
        self._keepers = [_Keeper(one, server, puller, precision, patience_s) for one in followed]
        self._troubled = False

    def look(self) -> bool:
        """One pass. Returns whether the server now has what it shall have of every line."""
        news = self._news()
        # Each keeper has its turn, whatever becomes of the others.
        served = [keeper.keep(is_stale=keeper.followed.line in news) for keeper in self._keepers]
        # The server would read files again that it has evicted; what is unloaded everywhere it needs no more.
        if all(keeper.is_clear for keeper in self._keepers):
            self._follower.remove_withdrawn()
            self._puller.sweep()
        return all(served)

    def close(self) -> None:
        """Unlock the files. The server goes on serving them."""
        for keeper in self._keepers:
            keeper.close()

    def _news(self) -> Collection[str]:
        """The lines of which something was told that matters here."""
        try:
            events: list[Event] = self._follower.catch_up()
        except (Unreachable, Refused, Damaged) as error:
            if not self._troubled:
                log.warning("the feed cannot be read: %s", error)
            self._troubled = True
            return ()
        self._troubled = False
        return {event.line for event in events if event.type in _NEWS and event.line is not None}


class _Keeper:
    """What is known of one line between two passes. `is_clear`: the server has nothing of it that was withdrawn."""

    def __init__(
        self, followed: Followed, server: Server, puller: Puller, precision: Precision, patience_s: float
    ) -> None:
        self.followed = followed
        self._server, self._puller, self._patience_s = server, puller, patience_s
        self._nothing = Plan(
            line=followed.line,
            alias=str(followed),
            stable=None,
            others=(),
            withdrawn={},
            mount=str(puller.mount),
            precision=precision,
        )
        # The stable version first, then the one on trial.
        self._pulled: list[Pulled] = []
        self.is_clear, self._is_stale = False, True
        self._attempts, self._not_before, self._trouble = 0, 0.0, ""

    def keep(self, *, is_stale: bool) -> bool:
        """Do what is to be done now. Returns whether nothing is left to do."""
        if is_stale:
            self._is_stale, self._not_before = True, 0.0
        if time.monotonic() < self._not_before:
            return False
        try:
            trouble = self._learn() if self._is_stale else None
            self.is_clear = False
            self._serve()
            self.is_clear = True
        except ServerError as error:
            trouble = error
        if trouble is None:
            self._attempts, self._trouble = 0, ""
            return True
        self._put_off(trouble)
        return False

    def close(self) -> None:
        for pulled in self._pulled:
            pulled.lock.close()
        self._pulled = []

    def _learn(self) -> Exception | None:
        """Which versions are wanted; why it cannot be told. Then what is served stays, unless it was withdrawn."""
        line, alias = self.followed.line, self.followed.alias
        try:
            stable = self._puller.pull(line, alias, is_alias=True)
        except _NO_ANSWER as error:
            return error
        self.close()
        self._pulled = [stable]
        try:
            on_trial = self._puller.on_trial(line, alias)
            if on_trial is not None:
                self._pulled.append(self._puller.pull(line, on_trial, is_alias=False))
        except _NO_ANSWER as error:
            return error
        self._is_stale = False
        return None

    def _serve(self) -> None:
        withdrawn = self._puller.withdrawn(self.followed.line)
        wanted = [pulled.candidate for pulled in self._pulled]
        if not wanted or wanted[0].name in withdrawn:
            self.close()
            plan = replace(self._nothing, withdrawn=withdrawn)
            remove_withdrawn(self._server, plan, self._note, patience_s=self._patience_s)
            return
        stable, others = wanted[0], tuple(one for one in wanted[1:] if one.name not in withdrawn)
        plan = replace(self._nothing, stable=stable, others=others, withdrawn=withdrawn)
        if is_done(self._server, plan):
            return
        began = time.monotonic()
        swap(self._server, plan, self._note, patience_s=self._patience_s)
        log.info("%s is served as %s after %.2f s", stable.name, self.followed, time.monotonic() - began)
        for other in others:
            bring(self._server, plan, other, self._note, patience_s=self._patience_s)
            log.info("%s is served on trial", other.name)

    def _put_off(self, error: Exception) -> None:
        """Try again later, or when there is news of the line."""
        self._attempts += 1
        permanent = isinstance(error, ServerError) and error.permanent
        pause = LONGEST_PAUSE_S if permanent else pause_before(self._attempts)
        self._not_before = time.monotonic() + pause
        if str(error) != self._trouble:
            log.warning("%s: %s", self.followed, error)
        self._trouble = str(error)

    def _note(self, step: SwapStep, name: str, *, overwritten: bool | None = None) -> None:
        log.debug("%s %s", step, name)
        if step is SwapStep.unload and overwritten is False:
            log.warning("%s is unloaded, but its weights could not be overwritten", name)
