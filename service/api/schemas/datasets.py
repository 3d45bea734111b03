"""Datasets."""

from datetime import datetime

from pydantic import Field

from service.api.schemas.common import Input, Output, Page


class DatasetFromUri(Input):
    """A dataset that the service fetches itself."""

    uri: str = Field(
        min_length=1,
        max_length=2000,
        description="URI of a JSONL file below one of LETHE_DATASET_URIS.",
        examples=["s3://training-data/support/2026-01.jsonl"],
    )
    name: str | None = Field(default=None, max_length=200, description="A name for people.", examples=["support 2026"])


class DatasetRead(Output):
    """An immutable set of training instances. Rows are sealed one by one and cannot be read back."""

    id: str = Field(description="The dataset's id.", examples=["ds_0192f1c4a1b27c3d8e4f5a6b7c8d9e0f"])
    name: str | None = Field(description="A name for people.", examples=["support 2026"])
    created_at: datetime = Field(description="When it was uploaded.")
    instance_count: int = Field(description="Instances in it.", examples=[4800])
    subject_count: int = Field(description="Different data subjects it names.", examples=[312])
    duplicate_count: int = Field(
        description="Instances whose text equals an earlier one up to case and white space.", examples=[3]
    )
    subjects_indexed: bool = Field(
        description="Whether any instance names a subject. If not, nothing can be selected by subject.",
        examples=[True],
    )


class DatasetPage(Page[DatasetRead]):
    pass
