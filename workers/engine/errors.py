"""The one error of the engine: it refuses a job for good."""


class EngineRefusal(Exception):
    """A permanent failure: the same job would fail again.

    Args:
        code: stable problem code, for example `dataset_mismatch`.
        detail: one sentence with ids and numbers only, never training text.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail

    def __reduce__(self) -> tuple[type["EngineRefusal"], tuple[str, str]]:
        return EngineRefusal, (self.code, self.detail)
