"""What a version is called by clients that name it in a way of their own.

Here it is `support-bot@v3`, always with `@`: vLLM, SGLang, Ray, S3 and MLflow take that character, while `:` and `/`
split names in some of them and `,` separates lists of names in others.
"""

import re
from dataclasses import dataclass

# The Hub's repository ids: no `--`, no `..`, a word character at either end.
_HUB_NAMESPACE = re.compile(r"(?!.*(--|\.\.))[a-z0-9]([a-z0-9._-]*[a-z0-9_])?")


@dataclass(frozen=True, slots=True)
class VersionName:
    """A version of a line."""

    line: str
    number: int

    def __str__(self) -> str:
        return f"{self.line}@v{self.number}"

    @property
    def hub(self) -> str | None:
        """The repository under `/hub` that holds this version only; None where Hub clients refuse the line's name."""
        return f"{self.line}/v{self.number}" if _HUB_NAMESPACE.fullmatch(self.line) else None

    @property
    def lorax(self) -> str:
        """The `adapter_id` for the source `pbase`."""
        return f"{self.line}/{self.number}"
