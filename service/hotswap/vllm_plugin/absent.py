"""Names that were refused a moment ago, so that a client who asks again and again costs nothing."""

from collections import OrderedDict

TTL_S = 15.0
MOST = 4096


class Absent:
    """Names with the time until which they stay refused (seconds of a monotonic clock)."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()

    def add(self, name: str, now: float) -> None:
        self._until[name] = now + TTL_S
        self._until.move_to_end(name)
        if len(self._until) > MOST:
            self._until.popitem(last=False)

    def holds(self, name: str, now: float) -> bool:
        until = self._until.get(name)
        if until is None or until > now:
            return until is not None
        del self._until[name]
        return False

    def forget_line(self, line: str) -> None:
        """Something happened to the line: what was absent may be there."""
        for name in [name for name in self._until if name.startswith(f"{line}@")]:
            del self._until[name]
