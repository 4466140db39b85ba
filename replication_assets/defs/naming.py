"""How tables and projections are called in Dagster.

Asset keys, job and partition names allow letters, digits and `_`. Names of tables may hold
anything: other characters become `_`, and a short hash keeps such names apart.
"""

import hashlib
import re

import dagster as dg

from replication_assets.core.schema import TableId

EVENT_STORE = "event_store"
DEAD_LETTERS = "dead_letters"


def plain(name: str) -> str:
    """`name` if Dagster takes it as it is, else a readable stand-in that no other name has."""
    if re.fullmatch(r"[A-Za-z0-9_]+", name):
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=3).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', name)}_{digest}"


def table_path(table: TableId) -> list[str]:
    return [plain(table.source), plain(table.schema), plain(table.name)]


def source_key(table: TableId) -> dg.AssetKey:
    """The source table itself, an external asset."""
    return dg.AssetKey(table_path(table))


def event_store_key(table: TableId) -> dg.AssetKey:
    return dg.AssetKey([EVENT_STORE, *table_path(table)])


def projection_key(projection: str, table: TableId) -> dg.AssetKey:
    return dg.AssetKey([plain(projection), *table_path(table)])


def dead_letters_key(projection: str, table: TableId) -> dg.AssetKey:
    return dg.AssetKey([DEAD_LETTERS, plain(projection), *table_path(table)])


def copy_key(environment: str, table: TableId) -> dg.AssetKey:
    """The masked copy of a table in an environment."""
    return dg.AssetKey([plain(environment), *table_path(table)])


def id_range_partitions(table: TableId) -> str:
    """Name of the dynamic partitions that hold a table's id ranges."""
    return "__".join([*table_path(table), "id_range"])


def load_pool(source: str) -> str:
    """Pool that bounds how many loads read one source at a time."""
    return f"{plain(source)}_load"


SOURCE_TAG = "replication/source"
CAPTURE_TAG = "replication/capture"
REFRESH_TAG = "replication/refresh"
ENVIRONMENT_TAG = "replication/environment"
