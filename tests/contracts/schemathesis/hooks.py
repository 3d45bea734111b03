"""What the contract cannot say in JSON Schema, told to schemathesis one by one.

A refusal of data that fit the schema is a failure, unless its problem code is listed here: each stands for a rule
between several values, or between a value and what is stored or set, and is documented with the code.
"""

from typing import Any

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData

# Code of the problem: why data that fit the schema can meet it.
SEMANTIC = {
    "archive-missing": "an import comes as a form; the schema of JSON shows its members all the same",
    "archive-not-wanted": "training takes no form",
    "callback-refused": "a setting of the operator",
    "due-too-early": "compared with the time of receipt",
    "due-too-late": "the same, by the regulation",
    "empty-completion": "white space is a string too",
    "endpoint-deleted": "a state of the endpoint",
    "idempotency-key-reused": "schemathesis sends one key with several bodies",
    "invalid-cursor": "a cursor is sealed, so that none can be made up",
    "invalid-event-id": "schemathesis writes null as a word into headers",
    "invalid-dataset": "the body is text, of which the schema says no more",
    "invalid-json": "the same",
    "invalid-line": "the same",
    "invalid-utf8": "the same",
    "invalid-secret": "each provider has secrets of its own kind",
    "invalid-url": "a URL is more than its pattern",
    "malformed-json": "a part of a form that is JSON",
    "mount-not-allowed": "a setting of the operator",
    "no-change": "compared with what is stored",
    "parties-required": "one provider's endpoints are of two parties",
    "port-refused": "a setting of the operator",
    "precondition-failed": "compared with what is stored",
    "range-not-satisfiable": "the same",
    "received-in-future": "compared with the clock",
    "scheme-refused": "a setting of the operator",
    "secret-required": "some providers make their own",
    "too-many-tokens": "compared with the line's training length",
    "unstorable-character": "PostgreSQL stores no U+0000",
    "uri-not-allowed": "a setting of the operator",
    "version-withdrawn": "a state of the version",
    "wrong-signature": "a signature cannot be made up",
}
# Members that may be refused although they fit the schema.
CHECKED_FURTHER = {
    "/archive": "binary, of which the schema says no more",
    "/training_record": "the same",
    "/agent_id": "one provider's endpoints are of two parties",
    "/business_id": "the same",
    "/callback_hosts": "the same",
    "/policy/quiet": "a time zone of the IANA database, and time left in every week",
    "/urls": "a URL is more than its pattern",
    "/mount": "a path without `..`",
    "/due_at": "later than before, and a date that exists",
    "/since": "thirty days back at most",
    "source": "a part of a form that is JSON",
}
# JSON Schema takes 3.0 for an integer; we ask for 3.
WHOLE = "Input should be a valid integer."


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    is_problem = response.headers.get("content-type") == ["application/problem+json"]
    if not isinstance(failure, RejectedPositiveData) or not is_problem:
        return True
    problem = response.json()
    if problem["detail"].startswith(WHOLE):
        return False
    is_checked_further = str(problem.get("field")).startswith(tuple(CHECKED_FURTHER))
    return not is_checked_further and problem["code"] not in SEMANTIC
