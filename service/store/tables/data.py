"""Datasets, their sealed rows, the keys of what is derived from them, and what may never come back."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from service.store.tables.base import Base, Json, UtcDateTime, identifier


class SealedText(Base):
    """A text under its own key. Shredded: `wrapped_key` is gone, so the ciphertext means nothing."""

    __tablename__ = "texts"

    id: Mapped[str] = identifier()
    ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
    wrapped_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    shredded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SealedTree(Base):
    """The key of a blob tree that was derived from a line's training data. Shredded: it is gone, and so are the files.

    A tree without a row is stored as it is, as published adapters are, and derived data of earlier releases.
    """

    __tablename__ = "trees"

    prefix: Mapped[str] = mapped_column(String(200), primary_key=True)
    line_id: Mapped[str] = mapped_column(ForeignKey("lines.id"), index=True)
    wrapped_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    shredded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Dataset(Base):
    """`digest`: Merkle root of its rows' keyed content hashes in upload order; none for the oldest datasets.

    `subject_kinds`: the kinds of identifiers its rows name, "" where they name none. Datasets of earlier releases have
    none here: their subjects are plain identifiers that cannot be found by digests. `subject_digests`: those by which
    each of its subjects can be found; none in datasets of earlier releases, where that is SHA-256 if anything.
    """

    __tablename__ = "datasets"

    id: Mapped[str] = identifier()
    name: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(48))
    instance_count: Mapped[int]
    subject_count: Mapped[int]
    duplicate_count: Mapped[int]
    subjects_indexed: Mapped[bool]
    digest: Mapped[str | None] = mapped_column(String(80))
    subject_kinds: Mapped[list[str] | None]
    subject_digests: Mapped[list[str] | None]


class InstanceRow(Base):
    """A row of a dataset. `content_hash` finds exact duplicates without unsealing, `sketch` near ones (MinHash).

    An erased row keeps no sketch, and rows of earlier releases never had one.
    """

    __tablename__ = "instances"
    __table_args__ = (Index("ix_instances_dataset_id_content_hash", "dataset_id", "content_hash"),)

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), primary_key=True)
    instance_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    position: Mapped[int]
    text_id: Mapped[str] = mapped_column(ForeignKey("texts.id"))
    content_hash: Mapped[str] = mapped_column(String(80))
    sketch: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)


class InstanceSubject(Base):
    """Which data subjects an instance speaks of, as keyed hashes."""

    __tablename__ = "instance_subjects"
    __table_args__ = (Index("ix_instance_subjects_subject_hash", "subject_hash"),)

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), primary_key=True)
    instance_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    subject_hash: Mapped[str] = mapped_column(String(80), primary_key=True)


class SubjectAlias(Base):
    """Another keyed hash by which a data subject may be looked up: that of a digest, or without its kind."""

    __tablename__ = "subject_aliases"

    alias_hash: Mapped[str] = mapped_column(String(80), primary_key=True)
    subject_hash: Mapped[str] = mapped_column(String(80), primary_key=True, index=True)


class Suppression(Base):
    """A keyed hash of something erased. `line_id` is empty where it holds for every line."""

    __tablename__ = "suppressions"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    hash: Mapped[str] = mapped_column(String(80), primary_key=True)
    line_id: Mapped[str] = mapped_column(String(48), primary_key=True)
    request_id: Mapped[str] = mapped_column(String(48))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class JournalRow(Base):
    """What one transaction erased: ids and keyed hashes. `written_at`: since when the erasure journal has it, too."""

    __tablename__ = "journal"

    id: Mapped[str] = identifier()
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    facts: Mapped[list[Json]]
    written_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
