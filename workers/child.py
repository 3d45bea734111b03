"""The engine child: the process that owns the device.

It is started as `python -m workers.child FD` and keeps the base model, adapters and curvature between
jobs. It ends when the supervisor's end of the channel closes, whatever it is doing.
"""

import logging
import os
import sys
import threading
from queue import SimpleQueue

from service.domain.engine import EngineFailure, FailureClass, Job, Result
from service.failpoints import reach
from service.logs import configure_logging
from service.settings import Settings
from workers.channel import Channel, Execute, Keep, Ready, Yield
from workers.engine.engine import Engine
from workers.engine.errors import EngineRefusal
from workers.engine.failures import classify

log = logging.getLogger(__name__)


class Child:
    """Executes jobs one at a time; a reader thread follows all other orders while a job runs."""

    def __init__(self, channel: Channel, engine: Engine) -> None:
        self._channel = channel
        self._engine = engine
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._yield = threading.Event()

    def serve(self) -> None:
        """Work until the channel closes."""
        threading.Thread(target=self._read, daemon=True).start()
        self._channel.send(Ready(str(self._engine.device)))
        while True:
            # No variable of this frame holds the job: its texts are to go as soon as it is done.
            result = self._run(self._jobs.get())
            reach("child.computed")
            self._channel.send(result)
            if isinstance(result, EngineFailure) and result.kind is FailureClass.fatal_device:
                os._exit(1)

    def _read(self) -> None:
        try:
            while True:
                order = self._channel.receive()
                if isinstance(order, Yield):
                    self._yield.set()
                elif isinstance(order, Keep):
                    self._engine.keep(order.anchors)
                elif isinstance(order, Execute):
                    self._yield.clear()
                    self._jobs.put(order.job)
        except (EOFError, OSError):
            os._exit(0)

    def _run(self, job: Job) -> Result:
        try:
            reach("child.received")
            return self._engine.run(job, progress=self._channel.send, should_yield=self._yield.is_set)
        except Exception as error:
            if not isinstance(error, EngineRefusal):
                log.exception("job failed")
            return classify(error)


def main(arguments: list[str]) -> None:
    settings = Settings()
    configure_logging(settings.log_level, process="child")
    engine = Engine(device=settings.device, memory_fraction=settings.gpu_memory_fraction, allow_hub=settings.allow_hub)
    Child(Channel.from_descriptor(int(arguments[1])), engine).serve()


if __name__ == "__main__":
    main(sys.argv)
