"""How a Delta table comes to be, exactly once, whoever else creates it too.

delta-rs 1.6 asks twice whether there is a table before it creates one. When somebody else creates it
between the two, its own creation is committed over the other's, in every mode, and takes back the
columns and properties that came with that or since. So on a local disk the first commit is written
beside the table and linked into its place, which succeeds for one creator only. An object store is
left to delta-rs, and what such a second creation took back is given back.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deltalake import CommitProperties, DeltaTable, Schema, Transaction

_FIRST_COMMIT = Path("_delta_log") / f"{0:020}.json"


@dataclass(frozen=True, slots=True)
class NewTable:
    """What a table begins with. `transactions` are recorded with its first commit."""

    schema: Schema
    configuration: Mapping[str, str]
    name: str | None = None
    description: str | None = None
    partition_by: Sequence[str] = ()
    transactions: Sequence[Transaction] = field(default=())


def create_table(uri: str, local: Path | None, options: dict[str, str] | None, new: NewTable) -> None:
    """`local` is the folder of a table on a disk. Raises whatever delta-rs or the system raises;
    FileExistsError if another was first."""
    if local is not None:
        _create_local(local, new)
        return
    created = _create(uri, options, new)
    if created.version() > 0:
        give_back(uri, options, created)


def _create(uri: str, options: dict[str, str] | None, new: NewTable) -> DeltaTable:
    return DeltaTable.create(
        uri,
        new.schema,
        mode="error",
        partition_by=list(new.partition_by),
        name=new.name,
        description=new.description,
        configuration=dict(new.configuration),
        storage_options=options,
        raise_if_key_not_exists=False,
        commit_properties=CommitProperties(app_transactions=list(new.transactions) or None),
    )


def _create_local(folder: Path, new: NewTable) -> None:
    # In the folder itself, so on its file system. Left by a killed process, it is a file that
    # no version of the table knows, like any other.
    beside = folder / f"_creating_{uuid.uuid4().hex}"
    beside.mkdir(parents=True)
    try:
        _create(str(beside), None, new)
        (folder / _FIRST_COMMIT).parent.mkdir(exist_ok=True)
        os.link(beside / _FIRST_COMMIT, folder / _FIRST_COMMIT)
    finally:
        shutil.rmtree(beside)


def give_back(uri: str, options: dict[str, str] | None, created: DeltaTable) -> None:
    """Columns and properties that the version before `created` had."""
    before = DeltaTable(uri, version=created.version() - 1, storage_options=options)
    present = {each.name for each in created.schema().fields}
    if lost := [each for each in before.schema().fields if each.name not in present]:
        created.alter.add_columns(lost)
    created.alter.set_table_properties(before.metadata().configuration, raise_if_not_exists=False)
