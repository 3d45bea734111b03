"""What a swap asks of an inference server, and what can go wrong with one."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from service.domain.probes import Measured, ProbePrompt


class ServerError(Exception):
    """A server did not do what it was asked for. `permanent`: it never will, as long as the version is the same."""

    code: ClassVar[str]
    permanent: ClassVar[bool] = False


class ServerAway(ServerError):
    """No answer, or one that tells to come again."""

    code = "server-away"


class ServerRefused(ServerError):
    """An answer that was not expected, such as 401."""

    code = "server-refused"


class NotVisible(ServerError):
    """The server finds no adapter at the path: the directory is mounted elsewhere, or not yet seen."""

    code = "adapter-not-visible"


class AdapterRefused(ServerError):
    """The server cannot use the adapter. Loaded in place, it may have left a mixture of both under the name."""

    code = "adapter-refused"
    permanent = True


class Server(Protocol):
    """One replica. Every method raises ServerError.

    `in_place`: whether an adapter can be loaded over another one, under its name.
    """

    in_place: bool

    def adapters(self) -> Mapping[str, str]:
        """The paths of the adapters that can be asked for, by name. Others may still be in memory."""

    def load(self, name: str, path: str) -> None:
        """Load the directory `path` under a name that is not taken."""

    def replace(self, name: str, path: str) -> None:
        """Load the directory `path` over what has the name now, where it lies in memory."""

    def unload(self, name: str) -> None:
        """Forget a name. No error if it is unknown."""

    def is_idle(self, name: str) -> bool:
        """Whether no generation uses the adapter."""

    def answers(self, name: str, prompts: Sequence[ProbePrompt]) -> Measured:
        """Log-probabilities of the likeliest tokens after each prompt, by the adapter with this name."""

    def close(self) -> None: ...
