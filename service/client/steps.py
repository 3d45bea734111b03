"""What the client does, written once for both kinds of HTTP client: as generators of steps.

A procedure (`Steps[T]`) decides what happens next, yields it as a step, and is sent what came of it, or has raised
what went wrong; it returns a T. It never waits for the network itself, so the same one serves `Lethe`, which performs
its steps, and `AsyncLethe`, which awaits them (`service.client.drivers`). httpx writes its authentication flows so.

A procedure that gives several things, one after the other, yields each as an `Item` (`Items[T]`).
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from service.client.call import Call

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """Make a call and read its response to the end. Comes back: the httpx.Response."""

    call: Call[Any]


@dataclass(frozen=True, slots=True)
class Open:
    """Make a call whose response is read piece by piece; one that was open before is closed.

    Comes back: the httpx.Response, read to the end only if it is a refusal.
    """

    call: Call[Any]


@dataclass(frozen=True, slots=True)
class Read:
    """Read on in the open response. Comes back: bytes as they arrive; None at the end."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Do something that takes time on this machine, such as hashing a file. Comes back: what it returns."""

    do: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """Give this to whoever runs the procedure."""

    value: T


Step: TypeAlias = Send | Open | Read | Pause | Work
Steps: TypeAlias = Generator[Step, Any, T]
Items: TypeAlias = Generator[Step | Item[T], Any, None]
