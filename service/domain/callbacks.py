"""Status callbacks: who files a request by a protocol may ask to be told how far it is."""

from enum import StrEnum


class CallbackProtocol(StrEnum):
    """Whose words a callback speaks."""

    opendsr = "opendsr"
    drp = "drp"
