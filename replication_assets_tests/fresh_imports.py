"""What the server of `fresh` imports before its first fork: all of the program, and the drivers that
it leaves until they are needed.

Imported objects are made to stay. A fork that looked for garbage among them would copy every page that
holds one, which takes longer than most commands.
"""

from __future__ import annotations

import gc
import importlib
import pkgutil

import replication_assets

_LATE = (
    "adbc_driver_postgresql.dbapi",
    "boto3",
    "dagster",
    "deltalake",
    "duckdb",
    "psycopg",
    "pyarrow.dataset",
    "replication_assets_tests.e2e.system",
    "rich.console",
    "rich.table",
    "sqlalchemy",
)


def _import_all() -> None:
    for name in _LATE:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(replication_assets.__path__, "replication_assets."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


gc.disable()
_import_all()
gc.enable()
gc.collect()
gc.freeze()
