"""What a manifest is asked for with."""

from typing import Annotated

from pydantic import Field, StringConstraints

from service.api.schemas.common import Input
from service.flows.new_version import PRODUCTION
from service.hotswap.manifests import RewriteGroup

# RFC 1123, as Kubernetes names namespaces and pools.
Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]


class ManifestQuery(Input):
    """Query parameters."""

    alias: str = Field(
        default=PRODUCTION, max_length=63, description="Whose version to put into service.", examples=["canary"]
    )
    namespace: Label | None = Field(
        default=None, description="Its namespace; default: the one it is applied in.", examples=["inference"]
    )
    base_model: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="What the cluster calls the base model; default: its Hub id or directory's name.",
        examples=["llama3-8b"],
    )
    pool: Label | None = Field(
        default=None, description="The InferencePool; default: one called like the base model.", examples=["llama3-8b"]
    )
    directory: str = Field(
        default="/adapters",
        pattern=r"^/[A-Za-z0-9_./-]*$",
        max_length=500,
        description="Where servers find a directory for each version, called like the version.",
    )
    group: RewriteGroup = Field(
        default=RewriteGroup.llm_d,
        description="API group of InferenceModelRewrite; the older one is Gateway API's.",
    )
