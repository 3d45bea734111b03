"""Answers in the shapes that Hugging Face Hub clients parse; older ones insist on members that mean nothing here."""

from typing import Literal

from pydantic import Field

from service.api.schemas.common import Output


class HubSibling(Output):
    rfilename: str = Field(description="The file's name.", examples=["adapter_config.json"])
    size: int = Field(description="Bytes.", examples=[5120])


class HubModel(Output):
    """A repository at one revision."""

    id: str = Field(description="The repository.", examples=["support-bot/v3"])
    sha: str = Field(description="The commit: the first 40 hex digits of the version's digest.")
    siblings: list[HubSibling] = Field(description="Its files.")
    library_name: Literal["peft"] = Field(description="What loads it.")
    tags: list[str] = Field(description="Always these.")
    private: Literal[True] = Field(description="A key is needed.")
    downloads: Literal[0] = Field(description="Not counted.")
    likes: Literal[0] = Field(description="Not counted.")


class HubPointer(Output):
    """What makes clients check a file by its SHA-256."""

    oid: str = Field(description="SHA-256 of the file, hex.", examples=["9f86d081884c7d65…"])
    size: int = Field(description="Bytes.", examples=[5120])
    pointer_size: int = Field(serialization_alias="pointerSize", description="Bytes of a Git LFS pointer to it.")


class HubFile(Output):
    type: Literal["file"] = Field(description="There are no folders.")
    path: str = Field(description="The file's name.", examples=["adapter_config.json"])
    size: int = Field(description="Bytes.", examples=[5120])
    oid: str = Field(description="The first 40 hex digits of its SHA-256.", examples=["9f86d081884c7d65…"])
    lfs: HubPointer = Field(description="Its digest.")


class HubRef(Output):
    name: str = Field(description="A revision.", examples=["production"])
    ref: str = Field(description="The same, as Git would write it.", examples=["refs/heads/production"])
    target_commit: str = Field(serialization_alias="targetCommit", description="What it means now.")


class HubRefs(Output):
    branches: list[HubRef] = Field(description="What moves: `main` and aliases.")
    tags: list[HubRef] = Field(description="What stays: versions in service.")
    converts: list[HubRef] = Field(description="None.")
    pull_requests: list[HubRef] = Field(serialization_alias="pullRequests", description="None.")
