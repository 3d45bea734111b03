"""Where a form comes from: only pages of the desk itself may make a browser post.

Browsers say so themselves in `Sec-Fetch-Site`, over HTTPS and to localhost, and in `Origin`. Either of them that is
there must be right, and one has to be there.
"""

from urllib.parse import urlsplit

from fastapi import Request

from service.domain.errors import Forbidden
from service.settings import Settings

# `none`: the person did it, by reloading for instance, and no page.
_OWN_SITES = ("same-origin", "none")


def check_origin(request: Request, settings: Settings) -> None:
    """Raises Forbidden."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    is_own_site = site is None or site in _OWN_SITES
    is_own_origin = origin is None or _is_own(origin, request, settings)
    if (site is None and origin is None) or not (is_own_site and is_own_origin):
        raise Forbidden("The form was not sent from this desk.", fix="Open the page anew.", code="foreign-form")


def _is_own(origin: str, request: Request, settings: Settings) -> bool:
    """Whether it is the desk as clients reach it, or the host that the browser asked. Behind a proxy these differ."""
    given = urlsplit(origin)
    known = urlsplit(settings.url)
    if (given.scheme, given.netloc) == (known.scheme, known.netloc):
        return True
    return given.scheme in ("http", "https") and given.netloc == request.headers.get("host")
