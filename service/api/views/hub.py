"""Versions, as clients of the Hugging Face Hub see them."""

from collections.abc import Iterable

from service.api.schemas.hub import HubFile, HubModel, HubPointer, HubRef, HubRefs, HubSibling
from service.hotswap.hub import Ref, Repository, commit_of
from service.store.tables import Version

_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"


def hub_model(repository: Repository, version: Version) -> HubModel:
    siblings = [HubSibling(rfilename=name, size=entry["size"]) for name, entry in (version.files or {}).items()]
    return HubModel(
        id=repository.id,
        sha=commit_of(version),
        siblings=siblings,
        library_name="peft",
        tags=["peft", "lora"],
        private=True,
        downloads=0,
        likes=0,
    )


def hub_files(version: Version) -> list[HubFile]:
    return [_file(name, entry["sha256"], entry["size"]) for name, entry in (version.files or {}).items()]


def hub_refs(refs: Iterable[Ref]) -> HubRefs:
    listed = list(refs)
    return HubRefs(
        branches=[_ref(ref, "heads") for ref in listed if ref.is_branch],
        tags=[_ref(ref, "tags") for ref in listed if not ref.is_branch],
        converts=[],
        pull_requests=[],
    )


def _file(name: str, sha256: str, size: int) -> HubFile:
    pointer = HubPointer(oid=sha256, size=size, pointer_size=len(_POINTER.format(sha256=sha256, size=size)))
    return HubFile(type="file", path=name, size=size, oid=sha256[:40], lfs=pointer)


def _ref(ref: Ref, kind: str) -> HubRef:
    return HubRef(name=ref.name, ref=f"refs/{kind}/{ref.name}", target_commit=commit_of(ref.version))
