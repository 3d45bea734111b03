"""Certificates and public keys as text (RFC 7468)."""

from fastapi.responses import Response


class PemResponse(Response):
    media_type = "application/x-pem-file"
