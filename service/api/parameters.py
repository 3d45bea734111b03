"""What several routes have in their paths."""

from typing import Annotated

from fastapi import Path

from service.domain import adapters

LineName = Annotated[str, Path(max_length=63, description="The line's name.", examples=["support-bot"])]
VersionName = Annotated[str, Path(max_length=63, description="`v3`, or an alias.", examples=["production"])]
AliasName = Annotated[adapters.AliasName, Path(description="The alias.", examples=["production"])]
