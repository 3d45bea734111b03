"""What LoRAX asks about an adapter of its source `pbase`."""

from typing import Literal

from pydantic import Field

from service.api.schemas.common import Output


class LoraxAdapter(Output):
    status: Literal["pending", "completed", "errored"] = Field(
        description="LoRAX loads what is `completed`.", examples=["completed"]
    )
    adapter_path: str | None = Field(
        serialization_alias="adapterPath",
        description="Where its files are; null while it cannot be loaded.",
        examples=["s3://bucket/lethe/runs/…/adapter/"],
    )
