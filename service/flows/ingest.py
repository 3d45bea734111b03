"""Take a dataset in: JSONL in, sealed rows and keyed hashes out.

Reading and sealing need no transaction, so a large upload does not hold up other writers, and a
broken line leaves nothing behind.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import ValidationError

from service.domain.errors import InvalidDataset
from service.domain.ids import new_id
from service.domain.instances import Instance, InstanceLine
from service.domain.subjects import NO_KIND, DigestKind, Identity, identity_of
from service.evidence.merkle import merkle_root
from service.flows.texts import sealed_row
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import Dataset

MAX_LINE_BYTES = 4_000_000


@dataclass(slots=True)
class SealedDataset:
    """A dataset ready to be recorded."""

    id: str
    texts: list[dict[str, object]] = field(default_factory=list)
    instances: list[dict[str, object]] = field(default_factory=list)
    subjects: list[dict[str, object]] = field(default_factory=list)
    aliases: set[tuple[str, str]] = field(default_factory=set)
    subject_kinds: set[str] = field(default_factory=set)
    subject_digests: set[DigestKind] = field(default_factory=lambda: set(DigestKind))


def read(vault: Vault, lines: Iterable[bytes]) -> SealedDataset:
    """Parse and seal JSONL lines; blank lines are skipped.

    Raises:
        InvalidDataset: names the line and what is wrong with it.
    """
    dataset = SealedDataset(new_id("ds"))
    first_seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        instance = _parse(line, number)
        if instance.id in first_seen:
            raise _broken(number, f"repeats the id of line {first_seen[instance.id]}", code="duplicate-instance-id")
        first_seen[instance.id] = number
        _add(dataset, vault, instance)
    if not dataset.instances:
        raise InvalidDataset("The dataset holds no instance.", field="file", fix="Send at least one JSON line.")
    return dataset


def record(unit: Unit, dataset: SealedDataset, *, name: str | None, actor: str) -> Dataset:
    """Write a sealed dataset."""
    copies = Counter(row["content_hash"] for row in dataset.instances)
    row = Dataset(
        id=dataset.id,
        name=name,
        created_at=unit.now,
        created_by=actor,
        instance_count=len(dataset.instances),
        subject_count=len({row["subject_hash"] for row in dataset.subjects}),
        duplicate_count=sum(count - 1 for count in copies.values()),
        subjects_indexed=bool(dataset.subjects),
        subject_kinds=sorted(dataset.subject_kinds),
        subject_digests=sorted(dataset.subject_digests),
        digest=merkle_root([bytes.fromhex(str(row["content_hash"])) for row in dataset.instances]).hex(),
    )
    unit.texts.add(dataset.texts)
    unit.datasets.add(row, dataset.instances, dataset.subjects)
    unit.datasets.add_aliases(dataset.aliases)
    unit.audit(actor, "dataset.created", dataset=row.id, instances=row.instance_count)
    unit.emit("dataset.created", dataset=row.id)
    return row


def _add(dataset: SealedDataset, vault: Vault, instance: Instance) -> None:
    text = sealed_row(vault, instance.content.to_bytes())
    key = {"dataset_id": dataset.id, "instance_id": instance.id}
    dataset.texts.append(text)
    dataset.instances.append(
        {
            **key,
            "position": len(dataset.instances),
            "text_id": text["id"],
            "content_hash": vault.hashes.content(instance.content),
            "sketch": vault.hashes.sketch(instance.content),
        }
    )
    names = dict(_names(vault, subject) for subject in instance.subjects)
    dataset.subjects.extend({**key, "subject_hash": own} for own in names)
    dataset.aliases.update((alias, own) for own, aliases in names.items() for alias in aliases)
    for identity in map(identity_of, instance.subjects):
        dataset.subject_kinds.add(identity.kind or NO_KIND)
        dataset.subject_digests &= identity.known_by


def _names(vault: Vault, subject: str | Identity) -> tuple[str, tuple[str, ...]]:
    """A data subject's own keyed hash, and the others by which it may be looked up."""
    own, *others = vault.hashes.subject_names(subject)
    return own, tuple(others)


def _parse(line: bytes, number: int) -> Instance:
    if len(line) > MAX_LINE_BYTES:
        raise _broken(number, f"is longer than {MAX_LINE_BYTES} bytes", code="line-too-long")
    try:
        data = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise _broken(number, "is not valid UTF-8", code="invalid-utf8") from None
    # ValueError: also a number with more digits than Python reads.
    except (ValueError, RecursionError):
        raise _broken(number, "is not valid JSON", code="invalid-json") from None
    try:
        return InstanceLine.model_validate(data).to_instance()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = "/".join(str(part) for part in first["loc"])
        raise _broken(number, f"does not fit: {place + ': ' if place else ''}{first['msg']}") from None


def _broken(number: int, what: str, *, code: str = "invalid-line") -> InvalidDataset:
    return InvalidDataset(
        f"Line {number} {what}.",
        field=f"file:{number}",
        fix='Each line is an object: {"id": …, "subject": …, "prompt": …, "completion": …} or with "messages".',
        code=code,
        extra={"line": number},
    )
