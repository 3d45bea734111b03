"""Numbers and switches as JSON has them: `"1"`, `"yes"` and 0 are not taken for what they look like."""

from typing import Annotated, TypeAlias

from pydantic import Strict

Flag: TypeAlias = Annotated[bool, Strict()]
Whole: TypeAlias = Annotated[int, Strict()]
Real: TypeAlias = Annotated[float, Strict()]
