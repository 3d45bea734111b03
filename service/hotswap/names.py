"""What a version is called elsewhere, by the grammar of every system that names it.

Here it is `support-bot@v3`, always with `@`: vLLM, SGLang, Ray, S3 and MLflow take that character, while `:` and `/`
split names in some of them and `,` separates lists of names in others.
"""

import re
from dataclasses import dataclass

# The Hub's repository ids: no `--`, no `..`, a word character at either end.
_HUB_NAMESPACE = re.compile(r"(?!.*(--|\.\.))[a-z0-9]([a-z0-9._-]*[a-z0-9_])?")
# RFC 1123's subdomains, at most 253 characters long, which a line's 63 never reach.
_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_KUBERNETES = re.compile(rf"{_LABEL}(\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class VersionName:
    """A version of a line. A name is None where the other system does not allow it."""

    line: str
    number: int

    def __str__(self) -> str:
        return f"{self.line}@v{self.number}"

    @property
    def hub(self) -> str | None:
        """The repository under `/hub` that holds this version only."""
        return f"{self.line}/v{self.number}" if _HUB_NAMESPACE.fullmatch(self.line) else None

    @property
    def kubernetes(self) -> str | None:
        """The name of an object."""
        name = f"{self.line}-v{self.number}"
        return name if _KUBERNETES.fullmatch(name) else None

    @property
    def mlflow(self) -> str:
        """The URI of a registered model's version."""
        return f"models:/{self.line}/{self.number}"

    @property
    def lorax(self) -> str:
        """The `adapter_id` for the source `pbase`."""
        return f"{self.line}/{self.number}"
