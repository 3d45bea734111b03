"""What may go wrong with the embedded stack."""

from service.domain.errors import LetheError


class StackError(LetheError):
    default_code = "stack-failed"
    title = "The service could not be started"


class StackStopped(StackError):
    default_code = "stack-stopped"
    title = "The service was stopped before it was ready"
