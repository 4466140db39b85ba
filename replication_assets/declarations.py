"""What a user declares: sources, tables, projections, the event store.

Constructing a declaration is cheap, does no I/O and refuses nothing: `Catalog.validate`
lists every problem of all of them together. The one thing that happens at once is that a
credential given as literal text is dropped and replaced by `LiteralSecret`, so that no
repr, traceback or log of even a refused declaration can show it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Literal, TypeAlias

from replication_assets.core.dates import EventDates, Granularity
from replication_assets.core.range_specs import WHOLE_TABLE, RangeSpec
from replication_assets.core.schema import TableId
from replication_assets.secret_references import SecretReference

CaptureMode: TypeAlias = Literal["micro-batch", "continuous"]
Follow: TypeAlias = Literal["micro-batch", "inline"]
SslMode: TypeAlias = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSWORD", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"://[^/@\s]*:[^/@\s]+@|\bpassword\s*=", re.IGNORECASE)
"""A URL with a password in it, or a connection string."""


@dataclass(frozen=True, slots=True)
class LiteralSecret:
    """Stands where a credential was given as text; the text itself is gone."""


class Declaration:
    """Base of declarations: lists become tuples, literal credentials are dropped."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]
            safe = _safe(getattr(self, each.name), secret=each.name == "password")
            object.__setattr__(self, each.name, safe)


def _safe(value: object, *, secret: bool = False) -> object:
    if isinstance(value, str | bytes) and (secret or _SECRET_TEXT.search(str(value))):
        return LiteralSecret()
    if isinstance(value, list | tuple):
        return tuple(_safe(part) for part in value)
    if isinstance(value, Mapping):
        return {
            name: _safe(part, secret=bool(_SECRET_NAME.search(str(name)))) for name, part in value.items()
        }
    return value


@dataclass(frozen=True, slots=True)
class PostgresSourceConfig(Declaration):
    """A PostgreSQL database that is loaded and captured.

    `slot` and `publication` are named after the source unless given. `micro-batch` captures
    in runs that a sensor starts every `capture_interval_seconds`; `continuous` keeps one run
    draining. A load waits `load_wait_seconds` for transactions that hold up its snapshot.
    """

    name: str
    _: KW_ONLY
    host: str
    database: str
    user: str
    port: int = 5432
    password: SecretReference | None = None
    sslmode: SslMode = "require"
    sslrootcert: str | None = None
    slot: str | None = None
    publication: str | None = None
    mode: CaptureMode = "micro-batch"
    max_parallel_loads: int = 4
    capture_interval_seconds: float = 5
    load_wait_seconds: float = 60

    @property
    def slot_name(self) -> str:
        return self.slot or f"replication_assets_{self.name}"

    @property
    def publication_name(self) -> str:
        return self.publication or f"replication_assets_{self.name}"


@dataclass(frozen=True, slots=True)
class EventDate(Declaration):
    """The date dimension of a table's events.

    `column` must never change once a row is written; without one it is the commit date (of
    a load: its own date). Dagster lists partitions from `start`; older rows keep their true
    date in the store.
    """

    column: str | None = None
    granularity: Granularity = "month"
    start: dt.date = dt.date(2020, 1, 1)

    def pinned(self) -> EventDates:
        return EventDates(self.column, self.granularity, self.start)


@dataclass(frozen=True, slots=True)
class Table(Declaration):
    """A table of a source: `Table("shop.public.orders")`, or by its three names.

    An empty `key` means the source's primary key. Ranges are cut on `range_column`, by
    default the first column of the key. `append_only` states that rows are never updated or
    deleted. `group`, `owners` and `tags` are shown by Dagster.
    """

    path: str | None = None
    _: KW_ONLY
    source: str | None = None
    schema: str | None = None
    name: str | None = None
    id_ranges: RangeSpec = WHOLE_TABLE
    key: Sequence[str] = ()
    range_column: str | None = None
    append_only: bool = False
    event_date: EventDate = EventDate()
    group: str | None = None
    owners: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def id(self) -> TableId:
        """Raises ValueError if the table is not named fully; `validate` says so with a fix."""
        names = self.path.split(".") if self.path is not None else [self.source, self.schema, self.name]
        spelled = [name for name in names if name]
        given_twice = self.path is not None and (self.source or self.schema or self.name)
        if len(names) != 3 or len(spelled) != 3 or given_twice:
            raise ValueError("not one source, schema and name")
        return TableId(*spelled)


@dataclass(frozen=True, slots=True)
class DeltaProjection(Declaration):
    """Current rows of some tables as Delta tables under `root` (a folder or `s3://...`).

    `tables` are names as in `Table`, or `shop.*` for all of a source. `inline` projects in
    the run that captured, `micro-batch` in a run of its own.
    """

    name: str
    _: KW_ONLY
    tables: Sequence[str]
    root: str
    follow: Follow = "micro-batch"
    storage_options: Mapping[str, str | SecretReference] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class EventStoreConfig(Declaration):
    """Where the event store is: a folder or `s3://...`. Secret options are references."""

    root: str
    storage_options: Mapping[str, str | SecretReference] = field(default_factory=dict, hash=False)
