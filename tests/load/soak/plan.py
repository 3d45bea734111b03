"""What a soak asks for and whom it kills: all of it follows from the seed."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from random import Random

from service.client import correct_response, modify_query, remove
from service.domain.adapters import ClaimLevel, Policy, Strategy
from service.domain.operations import Operation

# So many people for each request that a line gets: most of its data stays.
PEOPLE_PER_REQUEST = 2
SOME_PEOPLE = 8
ANY_DRIFT = 1e9
LITTLE = 0.001
# For how many times as long as requests come in, processes die.
DYING_SHARE = 2


class Victim(StrEnum):
    """Parts of the stack, as it names them. `worker`'s engine dies with it; `engine` is that child alone."""

    api = "api"
    other_api = "api-2"
    control = "control"
    sender = "sender"
    worker = "worker"
    engine = "engine"


@dataclass(frozen=True, slots=True)
class Order:
    """One unlearning request: about one instance of one line, which no other request of the line is about."""

    line: str
    operation: Operation


@dataclass(frozen=True)
class Plan:
    """One soak.

    Args:
        requests: unlearning requests in all.
        lines: adapter lines; each request is about one of them, by chance.
        kills: deaths for each request.
        rate: requests a second, whatever the service does.
        coalesce_s: how long a line's first request waits for others; from half to one and a half of it, by line.
        rebuild_after: changed instances after which a line is retrained.
        limit_s: the soak ends then at the latest.
        lease_s: the setting; heartbeat and the pauses of the reconciler are a quarter of it.
    """

    requests: int
    lines: int
    kills: float
    seed: int
    rate: float
    coalesce_s: float
    rebuild_after: int
    limit_s: float
    lease_s: float

    @cached_property
    def names(self) -> list[str]:
        return [f"line-{number:03}" for number in range(self.lines)]

    @cached_property
    def orders(self) -> list[Order]:
        """In the order in which they are sent."""
        chance, orders = self._chance("orders"), []
        asked = dict.fromkeys(self.names, 0)
        for _ in range(self.requests):
            line = chance.choice(self.names)
            orders.append(Order(line, _operation(chance, asked[line])))
            asked[line] += 1
        return orders

    @cached_property
    def people(self) -> int:
        """How many the dataset that all lines share is about, one instance each."""
        names = [order.line for order in self.orders]
        return SOME_PEOPLE + PEOPLE_PER_REQUEST * max(names.count(name) for name in set(names))

    @cached_property
    def deaths(self) -> list[tuple[float, Victim]]:
        """Who is killed, and how many seconds after the first request; they go on while the backlog is worked off."""
        chance = self._chance("deaths")
        span_s = DYING_SHARE * self.requests / self.rate
        moments = sorted(chance.uniform(0, span_s) for _ in range(round(self.kills * self.requests)))
        return [(moment, chance.choice(list(Victim))) for moment in moments]

    def policy(self, number: int) -> Policy:
        """Of a line. What a tiny random base can forget, and how well that is predicted, is not the question."""
        return Policy(
            default_strategy=Strategy.influence,
            complete_at=ClaimLevel.inconclusive,
            max_drift=ANY_DRIFT,
            update_budget=LITTLE,
            # Not all windows end at once.
            coalesce_s=self.coalesce_s * (0.5 + number / self.lines),
            rebuild_after_count=self.rebuild_after,
        )

    def _chance(self, what: str) -> Random:
        return Random(f"{self.seed} {what}")


def _operation(chance: Random, person: int) -> Operation:
    instance = f"p{person}-0"
    return chance.choice(
        [
            remove(instance),
            remove(instance),
            remove(subject=f"Person {person}"),
            correct_response(instance, "Nothing is known."),
            modify_query(instance, f"Who is {person}?"),
        ]
    )
