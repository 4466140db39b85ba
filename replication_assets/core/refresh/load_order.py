"""The order in which tables are loaded: parents before those that refer to them.

Tables that refer to each other in a circle stand next to each other, by name; their keys are made
when all rows are there, so any order of them is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from replication_assets.core.schema import TableId
from replication_assets.core.structure import TableStructure


def load_order(structures: Sequence[TableStructure]) -> tuple[TableStructure, ...]:
    """The structures, parents first. The same tables always give the same order."""
    by_id = {each.table: each for each in sorted(structures, key=lambda each: each.table)}
    parents = {
        table: sorted({key.parent for key in each.foreign_keys} & by_id.keys())
        for table, each in by_id.items()
    }
    return tuple(by_id[table] for circle in _circles(parents) for table in sorted(circle))


def _circles(parents: Mapping[TableId, Sequence[TableId]]) -> list[list[TableId]]:
    """Strongly connected components, parents first (Tarjan 1972, without recursion)."""
    number: dict[TableId, int] = {}
    lowest: dict[TableId, int] = {}
    open_: list[TableId] = []
    found: list[list[TableId]] = []
    done: set[TableId] = set()
    for root in parents:
        path = [(root, iter(parents[root]))] if root not in number else []
        while path:
            table, rest = path[-1]
            if table not in number:
                number[table] = lowest[table] = len(number)
                open_.append(table)
            parent = next(rest, None)
            if parent is not None:
                if parent not in number:
                    path.append((parent, iter(parents[parent])))
                elif parent not in done:
                    lowest[table] = min(lowest[table], number[parent])
                continue
            path.pop()
            if path:
                child = path[-1][0]
                lowest[child] = min(lowest[child], lowest[table])
            if lowest[table] == number[table]:
                start = open_.index(table)
                found.append(open_[start:])
                done.update(open_[start:])
                del open_[start:]
    return found
