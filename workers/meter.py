"""Thin out progress: the feed hears of new stages at once, and of the rest about once a second."""

import time

from service.domain.engine import Progress, Stage

INTERVAL_S = 1.0


class ProgressMeter:
    def __init__(self) -> None:
        self._stage: Stage | None = None
        self._told_at = 0.0

    def worth_telling(self, progress: Progress) -> float | None:
        """The share done (0 to 1) if it should be told now, else None."""
        now = time.monotonic()
        if progress.stage is self._stage and now - self._told_at < INTERVAL_S:
            return None
        self._stage, self._told_at = progress.stage, now
        return progress.done / progress.total if progress.total else 0.0
