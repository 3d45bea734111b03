"""Download a version: its files one by one, all of them as an archive, and their signature."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import RedirectResponse

from service.api.auth import Caller
from service.api.context import InContext
from service.api.downloads import Conditions, Representation, respond
from service.api.parameters import LineName, VersionName
from service.api.problems import Responses, problems
from service.api.version_files import JSON, OCTETS, representation_of
from service.api.views.adapters import version_headers
from service.api.visibility import visible_line
from service.evidence.model_signature import BUNDLE, SIGNATURE_FILE, model_signature
from service.flows.alias import check_servable
from service.flows.lookup import find_version
from service.store.archives.formats import ArchiveFormat, archive_of_tree

router = APIRouter(prefix="/v1/adapters/{name}/versions/{version}", tags=["versions"])

PRESIGNED_S = 300

_MEDIA_TYPES = {
    ArchiveFormat.tar_gz: "application/gzip",
    ArchiveFormat.tar: "application/x-tar",
    ArchiveFormat.zip: "application/zip",
}
_PRESIGNED: Responses = {307: {"description": "Where to read it from the bucket."}}


def _bytes(*media_types: str) -> Responses:
    content: dict[str, object] = {media_type: {} for media_type in media_types}
    return {
        200: {"description": "All of it.", "content": content},
        206: {"description": "The range asked for.", "content": content},
        304: {"description": "You have it already."},
        **problems(404, 409, 410, 412, 416),
    }


FileName = Annotated[str, Path(max_length=255, description="A name in `files`.", examples=["adapter_config.json"])]


Format = Annotated[ArchiveFormat, Query(alias="format", description="How it is packed. Nothing is compressed.")]
Presigned = Annotated[
    bool,
    Query(
        description=f"Answer 307 and a URL of the bucket that reads this file for {PRESIGNED_S} s without a key. It "
        "cannot be revoked: a version withdrawn meanwhile is readable until then. Only where blobs are on S3.",
    ),
]


def _conditions(
    request: Request,
    if_match: Annotated[str | None, Header(description="Only if this is the content.")] = None,
    if_none_match: Annotated[str | None, Header(description="Only if this is not the content.")] = None,
    if_range: Annotated[str | None, Header(description="The range only if this is the content, else all.")] = None,
    range_: Annotated[
        str | None, Header(alias="Range", description="One range of bytes.", examples=["bytes=1024-"])
    ] = None,
) -> Conditions:
    return Conditions(request.method, if_match, if_none_match, if_range, range_)


InConditions = Annotated[Conditions, Depends(_conditions)]


@router.get("/archive", response_class=Response, responses=_bytes(*_MEDIA_TYPES.values()))
def download_archive(
    name: LineName,
    version: VersionName,
    context: InContext,
    actor: Caller,
    conditions: InConditions,
    kind: Format = ArchiveFormat.tar_gz,
) -> Response:
    """Download a version as an archive. Equal versions give equal bytes."""
    with context.store.read() as unit:
        line = visible_line(unit, actor, name)
        row = find_version(unit, line, version)
        check_servable(row)
    archive = archive_of_tree(context.blobs, str(row.blob_prefix), row.files or {}, kind)
    item = Representation(
        tag=str(row.digest) if kind is ArchiveFormat.tar_gz else f"{row.digest}.{kind}",
        size=archive.size,
        media_type=_MEDIA_TYPES[kind],
        filename=f"{line.name}-v{row.number}.{kind}",
        read=lambda start, stop: archive.chunks(start=start, stop=stop),
        headers=version_headers(line, row),
    )
    return respond(item, conditions)


@router.get("/files/{file}", response_class=Response, responses={**_bytes(OCTETS, JSON), **_PRESIGNED})
def download_file(
    name: LineName,
    version: VersionName,
    file: FileName,
    context: InContext,
    actor: Caller,
    conditions: InConditions,
    presigned: Presigned = False,
) -> Response:
    """Download one file of a version."""
    with context.store.read() as unit:
        line = visible_line(unit, actor, name)
        row = find_version(unit, line, version)
        check_servable(row)
    item = representation_of(context.blobs, line, row, file)
    # A presigned URL is good for one method.
    if presigned and conditions.method == "GET":
        url = context.blobs.signed_url(f"{row.blob_prefix}/{file}", lives_s=PRESIGNED_S)
        return RedirectResponse(url, headers={**item.headers, "Cache-Control": "private, no-store"})
    return respond(item, conditions)


@router.get("/signature", response_class=Response, responses=_bytes(BUNDLE))
def download_signature(
    name: LineName, version: VersionName, context: InContext, actor: Caller, conditions: InConditions
) -> Response:
    """Download the OpenSSF model signature of a version (`model.sig`), made with the key that signs versions now.

    It is not one of the version's files, which the version's digest covers: a key may be replaced, a version never.
    """
    with context.store.read() as unit:
        line = visible_line(unit, actor, name)
        row = find_version(unit, line, version)
        check_servable(row)
        digests = {file: entry["sha256"] for file, entry in (row.files or {}).items()}
        bundle = model_signature(f"{line.name}@v{row.number}", digests, context.vault.model_signer(unit))
    sha256 = hashlib.sha256(bundle).hexdigest()
    item = Representation(
        tag=f"sha256:{sha256}",
        size=len(bundle),
        media_type=BUNDLE,
        filename=SIGNATURE_FILE,
        read=lambda start, stop: iter((bundle[start:stop],)),
        sha256=sha256,
        headers=version_headers(line, row),
    )
    return respond(item, conditions)


# HEAD is the same operation without a body; it does not get an operation id of its own.
router.head("/archive", include_in_schema=False)(download_archive)
router.head("/files/{file}", include_in_schema=False)(download_file)
router.head("/signature", include_in_schema=False)(download_signature)
