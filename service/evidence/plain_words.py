"""What a statement claims and what it does not, in plain words, for people who were not there.

Everything comes from the signed predicate. The words are chosen so that nobody can take more from them than was
signed: they speak of no law and promise nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.adapters import ClaimLevel

Predicate = Mapping[str, Any]

COPIES: Mapping[str, str] = {
    "sealed_rows": "the training rows themselves, encrypted, readable by workers only",
    "quarantined_anchor": "the adapter that was trained on them, never served",
    "derived_data": "gradients, sketches, checkpoints and other data derived from them, readable by workers only",
    "out_of_fold_predictions": "predictions about them, kept for updates",
    "worker_caches": "what workers had decrypted of the data derived from them, on their disks and in memory",
    "older_versions": "older versions of the adapter that learnt from them, readable during their grace period",
    "inference_replicas": "copies on inference servers, as long as those keep them; Lethe sees only those it drives",
    "backups": "backups, as long as their owners keep them, with the keys of their day; Lethe cannot see them",
}

DESTROYED: Mapping[str, str] = {
    "sealed_rows": "the training rows themselves: their keys were destroyed, and without those nobody can read them",
    "derived_data": "gradients, sketches, checkpoints and other data derived from them: their keys were destroyed",
    "out_of_fold_predictions": "predictions about them: their keys were destroyed",
}

NOT_CLAIMED: Mapping[str, str] = {
    "E": "that the base model does not know the data: what it learnt in its own training is out of reach",
    "C": "that the adapter is the one that retraining would have made: it agrees with such adapters as measured",
    "M": "that the adapter is as if it had never learnt the data: nobody has compared it with one that had not",
    "I": "that the data were forgotten: the measurements could not tell",
}
NOT_FORGOTTEN = "that the data were forgotten: the measurements say that they were not"

ACCEPTED: Mapping[str, str] = {
    "failed": "although the update failed its verification",
    "below_policy": "although less can be claimed of it than the adapter's policy asks for",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """Sentences for people: what is claimed, what is not, which copies remain and which are destroyed."""

    claims: tuple[str, ...]
    limits: tuple[str, ...]
    remains: tuple[str, ...] = ()
    destroyed: tuple[str, ...] = ()


def read_certificate(said: Predicate) -> Reading:
    """A certificate in plain words. Members that it lacks are passed over."""
    return Reading(
        claims=tuple(_claims(said)),
        limits=tuple(_limits(said)),
        remains=tuple(_remains(said)),
        destroyed=tuple(_destroyed(said)),
    )


def not_claimed(said: Predicate) -> str | None:
    """What lies just beyond a certificate's claim; None where its level is unknown."""
    level = str((said.get("claim") or {}).get("level"))
    return NOT_FORGOTTEN if level == "I" and has_failed(said) else NOT_CLAIMED.get(level)


def has_failed(said: Predicate) -> bool:
    """Whether what a certificate speaks of measurably failed."""
    failed = (said.get("measurements") or {}).get("passed") is False
    return failed or (said.get("accepted") or {}).get("shortfall") == "failed"


def read_receipt(said: Predicate) -> Reading:
    """A receipt in plain words."""
    count = sum((said.get("operations") or {}).values())
    return Reading(
        claims=(
            f"Request {said.get('request')} of {_count(count, 'operation')} was accepted on {said.get('issued_at')}.",
            f"It counts as received on {said.get('received_at')} and is due on {said.get('due_at')}.",
        ),
        limits=("that anything was done about the request yet: that is for a certificate to say", _SIGNATURE),
    )


def read_audit_head(said: Predicate) -> Reading:
    """An audit head in plain words."""
    return Reading(
        claims=(
            f"On {said.get('issued_at')} the audit chain had {_count(said.get('position', 0), 'row')}, and the newest "
            f"one's hash was {said.get('hash')}.",
        ),
        limits=("that what the rows say is true: the chain shows only that they were not changed since", _SIGNATURE),
    )


def read_refusal(said: Predicate) -> Reading:
    """A refusal in plain words."""
    reason, due = said.get("reason") or {}, "by" if said.get("within_deadline") else "after"
    return Reading(
        claims=(
            f"Request {said.get('request')} was refused on {said.get('issued_at')} by {said.get('refused_by')}.",
            f"The reason given was {reason.get('code')}: {reason.get('meaning')}",
            f"It had been received on {said.get('received_at')}, and was refused {due} its due date, "
            f"{said.get('due_at')}.",
        ),
        limits=("that the reason holds, or that the law allows it", _SIGNATURE),
    )


def read_swap_receipt(said: Predicate) -> Reading:
    """A swap receipt in plain words."""
    version, probe = said.get("version") or {}, said.get("probe") or {}
    return Reading(
        claims=(
            f"On {said.get('issued_at')} the {said.get('server')} server of replica {said.get('replica')} listed "
            f"version {version.get('name')} and {_ANSWERED.get(str(probe.get('outcome')), 'answered')}.",
            *(_removed(one) for one in said.get("removed") or ()),
        ),
        limits=(
            "that it serves that version at any other time, or only that one",
            "that no copy is left in memory or on the server's disk, or with anybody who read it",
            _SIGNATURE,
        ),
    )


_ANSWERED: Mapping[str, str] = {
    "proven": "gave the answers to its probe that only this version gives",
    "indistinct": "gave the answers to its probe that this version gives, and another one too, as far as rounding "
    "lets them be told apart",
}


def _removed(one: Predicate) -> str:
    overwritten = one.get("overwritten")
    if overwritten is None:
        how = "the name was unloaded, which frees its memory"
    elif overwritten:
        how = "its weights were overwritten with zeros where they lay, and then the name was unloaded"
    else:
        how = "the name was unloaded, but its weights could not be overwritten before"
    return f"Before that, {one.get('name')} went: {how}."


_SIGNATURE = "that it is true: a signature shows who says so, and that nobody has changed it since"


def _claims(said: Predicate) -> Iterator[str]:
    version, level = said.get("version") or {}, (said.get("claim") or {}).get("level", "?")
    reference = f" (your reference {said['client_reference']})" if said.get("client_reference") else ""
    answer = f"version {version.get('name')}"
    if said.get("retired"):
        answer = f"retiring the adapter line, of which {version.get('name')} was the last version"
    yield f"Request {said.get('request')}{reference} was answered by {answer}."
    name = ClaimLevel(level).name if level in set(ClaimLevel) else "unknown"
    yield f"Claim level {level}, {name}: {(said.get('claim') or {}).get('meaning', '')}"
    if said.get("retired"):
        yield _retired(said["retired"])
    if said.get("accepted"):
        yield _accepted(said["accepted"])
    if said.get("status") == "final":
        yield "It is final: no later certificate is due for this request on this adapter."
    else:
        yield "It is interim: the adapter may still be retrained, and a later certificate then takes its place."
    yield _amounts(said.get("data") or {})
    yield from _deadline(said.get("clock") or {})
    yield from _measured(said.get("measurements") or {}, (said.get("method") or {}).get("strategy"))
    for replica in said.get("replicas") or ():
        if replica.get("covers_request"):
            yield (
                f"Inference replica {replica.get('replica')} was proven on {replica.get('proven_at')} to serve "
                f"version {replica.get('version')}."
            )


def _accepted(accepted: Predicate) -> str:
    although = ACCEPTED.get(str(accepted.get("shortfall")), "although it falls short")
    return (
        f"A person, with key {accepted.get('by')}, accepted this outcome on {accepted.get('at')}, {although}. "
        f"The reason given: {accepted.get('reason')}"
    )


def _retired(retired: Predicate) -> str:
    by = "Lethe" if retired.get("by") == "lethe" else f"Key {retired.get('by')}"
    return f"{by} retired the line on {retired.get('at')}. The reason given: {retired.get('reason')}"


def _amounts(data: Predicate) -> str:
    removed, corrected = ((data.get(name) or {}).get("count", 0) for name in ("removed", "corrected"))
    selected = " They were selected by data subject." if data.get("subjects") else ""
    return (
        f"It concerns {_count(removed, 'removed instance')} and {_count(corrected, 'corrected instance')}.{selected}"
    )


def _deadline(clock: Predicate) -> Iterator[str]:
    if "due_at" not in clock:
        return
    kept = "within the deadline" if clock.get("within_deadline") else "after the deadline"
    moved = ", which was extended," if clock.get("extended_until") else ""
    yield (
        f"The request was received on {clock.get('received_at')} and due on {clock['due_at']}{moved} and was "
        f"answered on {clock.get('completed_at')}: {kept}."
    )


def _measured(measured: Predicate, strategy: str | None) -> Iterator[str]:
    # A trained version is compared with the bare base model, an update with the version that it was solved from.
    earlier = "before" if strategy == "influence" else "under the bare base model"
    before, after = measured.get("before") or {}, measured.get("after") or {}
    for group, told in (
        ("forget", "the removed instances"),
        ("corrected", "the corrected instances"),
        ("retained", "what stays"),
        ("holdout", "instances never seen"),
    ):
        if after.get(group) is not None:
            was = "" if before.get(group) is None else f", {before[group]:.3f} {earlier}"
            yield f"Measured: mean loss on {told} {after[group]:.3f} nats a token{was}."
    for name, told in (
        ("retained_kl", "divergence from the adapter before, on what stays"),
        ("fidelity", "distance from a retrain, in units of that between two retrains"),
        ("drift", "relative gap between predicted and measured change"),
    ):
        if measured.get(name) is not None:
            yield f"Measured: {told} {measured[name]:.3g}."
    if "passed" in measured:
        verdict = {True: "passed", False: "failed"}.get(measured["passed"], "could not tell")
        yield " ".join((f"The verification {verdict}.", *measured.get("reasons", ())))


def _limits(said: Predicate) -> Iterator[str]:
    beyond = not_claimed(said)
    if beyond is not None:
        yield beyond
    yield "that any copy outside Lethe is gone"
    if said.get("tests_not_run"):
        yield f"anything about tests that were not run: {', '.join(sorted(said['tests_not_run'])).replace('_', ' ')}"
    yield "that a law is satisfied: that is for people to judge"
    yield _SIGNATURE


def _remains(said: Predicate) -> Iterator[str]:
    for copy in said.get("remaining_copies") or ():
        told = COPIES.get(str(copy.get("kind")), str(copy.get("kind")))
        yield f"{told}, until {copy['until']} at the latest" if copy.get("until") else told
    for older in (said.get("version") or {}).get("superseded") or ():
        yield _fate(older)
    for replica in said.get("replicas") or ():
        if not replica.get("covers_request"):
            served = "nothing yet" if replica.get("version") is None else f"version {replica['version']}"
            yield f"inference replica {replica.get('replica')}, which had not swapped: it was proven to serve {served}"


def _destroyed(said: Predicate) -> Iterator[str]:
    for copy in said.get("destroyed_copies") or ():
        kind = str(copy.get("kind"))
        yield f"{DESTROYED.get(kind) or COPIES.get(kind, kind)}, on {copy.get('destroyed_at')}"


def _fate(older: Predicate) -> str:
    name, at = older.get("name"), older.get("at")
    return {
        "in_service": f"version {name}, which can be read; nobody has withdrawn it yet",
        "retained": f"version {name}, which can be read until {at}",
        "quarantined": f"version {name}, which is never served, until {at} at the latest",
        "withdrawn": f"version {name}, withdrawn on {at}: it cannot be read any more, and its files go next",
    }.get(str(older.get("fate")), f"version {name}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
