"""Where a job stands, and how long each stage took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from service.domain.engine import Progress, Stage

ProgressCallback: TypeAlias = Callable[[Progress], None]


class Stages:
    """Announces each stage as it begins and sums its seconds; `progress` reports on units within it."""

    def __init__(self, progress: ProgressCallback) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        self.progress(Progress(stage, 0, 1))
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - start
