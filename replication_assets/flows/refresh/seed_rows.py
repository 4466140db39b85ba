"""Rows made for a test team: a function of the team's own, held against the rules of the table.

They stand among masked rows and are proven with them, so every value must be one that its column's
rule could have made: an e-mail address at the reserved domain, a name out of the list.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pyarrow as pa

from replication_assets.core.events import OVERFLOW
from replication_assets.core.masking.batches import MaskedBatch
from replication_assets.core.masking.table_mask import TableMask
from replication_assets.declarations.refreshes import SeedRows
from replication_assets.errors import RefreshError
from replication_assets.flows.refresh.functions import import_function

SeedFunction = Callable[[pa.Schema], pa.Table]


def generated_rows(seed: SeedRows, mask: TableMask) -> MaskedBatch:
    """What the function makes, in the schema of the table's batches.

    Raises:
        RefreshError: it cannot be imported, or its rows are not of the schema it was given, or not
            such as the rules make.
    """
    where = f"seed rows of {seed.table} ({seed.function})"
    function = cast(SeedFunction, import_function(seed.function, where))
    wanted = pa.schema([field for field in mask.schema if field.name != OVERFLOW])
    made = function(wanted)
    if not isinstance(made, pa.Table) or made.schema.names != wanted.names:
        raise RefreshError(
            "it did not give a table of the schema it was given",
            where=where,
            fix="`pa.table(columns, schema=schema)`",
        )
    if made.schema.types != wanted.types:
        wrong = [
            field.name for field, given in zip(wanted, made.schema, strict=True) if field.type != given.type
        ]
        raise RefreshError(f"other types than asked for: {', '.join(wrong)}", where=where, fix="cast them")
    batch = made.append_column(OVERFLOW, pa.nulls(made.num_rows, pa.string())).combine_chunks()
    rows = batch.to_batches()[0] if batch.num_rows else pa.RecordBatch.from_pylist([], schema=mask.schema)
    misfits = mask.fits(rows)
    if misfits:
        raise RefreshError(
            f"values that the policy's rules could not have made: {'; '.join(misfits)}",
            where=where,
            fix="make values of the rules' own form, as e-mail addresses at the reserved domain",
        )
    return MaskedBatch(rows.cast(mask.schema))
