"""Style sheet and script, under addresses that change with their content, so that browsers may keep them."""

import hashlib
from importlib.resources import files

from fastapi import APIRouter, Response

from service.domain.errors import NotFound

router = APIRouter(prefix="/desk/static")

_TYPES = {"desk.css": "text/css", "desk.js": "text/javascript", "desk.svg": "image/svg+xml"}
_CONTENT = {name: files(__package__).joinpath("static", name).read_bytes() for name in _TYPES}
ADDRESSES = {
    name: f"{router.prefix}/{name}?{hashlib.sha256(content).hexdigest()[:16]}" for name, content in _CONTENT.items()
}


@router.get("/{name}", include_in_schema=False)
async def get_desk_file(name: str) -> Response:
    if name not in _CONTENT:
        raise NotFound("There is no such file.")
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return Response(_CONTENT[name], media_type=_TYPES[name], headers=headers)
