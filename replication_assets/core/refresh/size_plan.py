"""How many rows a refresh copies, of which tables and why: shown and held against the limit before any
row is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from replication_assets.errors import RefreshError


@dataclass(frozen=True, slots=True)
class Way:
    """How rows came to be chosen: each row counts for the first way that it was reached by."""

    what: str
    rows: int


@dataclass(frozen=True, slots=True)
class TableSize:
    """`total` rows of the table, `chosen` of them. `size` is an estimate in bytes of the chosen."""

    table: str
    total: int
    chosen: int
    ways: tuple[Way, ...] = ()
    size: int | None = None

    def __str__(self) -> str:
        told = f"{self.table}: {_counted(self.chosen)} rows"
        main = max(self.ways, key=lambda way: way.rows, default=None)
        if main is None or main.rows == 0:
            return told
        return f"{told}, {_counted(main.rows)} of them {main.what}"


@dataclass(frozen=True, slots=True)
class SizePlan:
    """Tables in the order they were given."""

    tables: tuple[TableSize, ...]

    @classmethod
    def whole(cls, rows: Mapping[str, int]) -> SizePlan:
        """Of tables that are copied with all their rows."""
        return cls(tuple(TableSize(table, count, count) for table, count in rows.items()))

    @property
    def total(self) -> int:
        return sum(table.total for table in self.tables)

    @property
    def chosen(self) -> int:
        return sum(table.chosen for table in self.tables)

    def with_sizes(self, sizes: Mapping[str, int]) -> SizePlan:
        """With an estimate for the chosen rows, from the bytes of whole tables where they are known."""
        return SizePlan(
            tuple(
                replace(table, size=round(sizes[table.table] * table.chosen / table.total))
                if table.table in sizes and table.total
                else table
                for table in self.tables
            )
        )

    def text(self) -> str:
        """For people: a line for each table and each way."""
        lines: list[tuple[str, ...]] = [("table", "rows", "of", "share", "about", "")]
        for table in self.tables:
            lines.append(_line(table.table, table.chosen, table.total, table.size, ""))
            lines += [
                ("", _counted(way.rows), "", "", "", way.what)
                for way in sorted(table.ways, key=lambda way: -way.rows)
                if way.rows
            ]
        sizes = [table.size for table in self.tables]
        size = sum(each for each in sizes if each is not None) if None not in sizes and sizes else None
        lines.append(_line("all", self.chosen, self.total, size, ""))
        return _aligned(lines)

    def refuse(self, max_rows: int | None) -> None:
        """Raises RefreshError if more rows are chosen than may be, naming what contributes most."""
        if max_rows is None or self.chosen <= max_rows:
            return
        largest = sorted(self.tables, key=lambda table: -table.chosen)[:3]
        told = "; ".join(str(table) for table in largest)
        raise RefreshError(
            f"{_counted(self.chosen)} rows would be copied, more than max_rows={_counted(max_rows)}. {told}",
            where="size plan",
            fix="begin with fewer rows, limit `children` of what contributes most, leave a table out, or "
            "raise max_rows",
        )


def _line(name: str, chosen: int, total: int, size: int | None, what: str) -> tuple[str, ...]:
    share = f"{chosen / total:.1%}" if total else "-"
    return (name, _counted(chosen), _counted(total), share, "-" if size is None else _bytes(size), what)


def _aligned(lines: list[tuple[str, ...]]) -> str:
    widths = [max(len(line[place]) for line in lines) for place in range(5)]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0])]
            + [line[place].rjust(widths[place]) for place in range(1, 5)]
            + [line[5]]
        ).rstrip()
        for line in lines
    )


def _counted(number: int) -> str:
    return f"{number:,}"


def _bytes(size: int) -> str:
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:,.0f} TiB"
