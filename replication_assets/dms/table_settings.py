"""Reading of table-settings rules: parallel loads and large objects."""

from __future__ import annotations

from replication_assets.dms.json_source import Array, Node, Scalar
from replication_assets.dms.members import Members
from replication_assets.dms.rules import LobSettings, ParallelLoad

TYPES = ("partitions-auto", "subpartitions-auto", "partitions-list", "ranges", "none")
_MOST_COLUMNS = 10


def read_parallel_load(rule: Members) -> ParallelLoad | None:
    members = rule.object("parallel-load", "parallel-load")
    if members is None:
        return None
    kind = members.word("type", TYPES, required=True)
    columns, boundaries = members.texts("columns"), _boundaries(members)
    partitions, subpartitions = members.texts("partitions"), members.texts("subpartitions")
    number = members.integer("number-of-partitions", least=1)
    for further in ("collection-count-from-metadata", "batch-size", "max-records-skip-per-page"):
        members.take(further)
    members.take("segment-names")
    members.finish()
    if kind is None:
        return None
    if kind == "ranges" and any(len(each) != len(columns) for each in boundaries):
        _complete(members, kind, columns, boundaries, partitions + subpartitions)
        return None
    _complete(members, kind, columns, boundaries, partitions + subpartitions)
    return ParallelLoad(kind, columns, boundaries, partitions, subpartitions, number, members.place)


def _boundaries(members: Members) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(value for item in (node.items if isinstance(node, Array) else (node,))
              if (value := _boundary(members, item)) is not None)
        for node in members.array("boundaries")
    )  # fmt: skip


def _boundary(members: Members, node: Node) -> str | None:
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return node.value
    members.error("wrong-type", "a boundary is neither a text nor a number", "write it as a text", node.place)
    return None


def _complete(
    members: Members,
    kind: str,
    columns: tuple[str, ...],
    boundaries: tuple[tuple[str, ...], ...],
    listed: tuple[str, ...],
) -> None:
    if kind == "partitions-list" and not listed:
        members.error("missing-member", "partitions-list names no partition", 'add "partitions": ["..."]')
    if kind != "ranges":
        if columns or boundaries:
            what = f"columns and boundaries mean nothing with type {kind}"
            members.error("wrong-member", what, 'write "type": "ranges", or delete them')
        return
    if not columns or not boundaries:
        members.error("missing-member", "ranges without columns and boundaries", "add both")
        return
    if len(columns) > _MOST_COLUMNS:
        members.error("out-of-range", f"{len(columns)} columns, at most {_MOST_COLUMNS}", "use fewer")
    if any(len(each) != len(columns) for each in boundaries):
        what = f"a boundary has not {len(columns)} values, one for each column"
        members.error(
            "bad-boundary", what, "write each boundary as [value of column 1, value of column 2, ...]"
        )


def read_lobs(rule: Members) -> LobSettings | None:
    members = rule.object("lob-settings", "lob-settings")
    if members is None:
        return None
    mode = members.word("mode", ("limited", "unlimited", "none"))
    size = members.integer("bulk-max-size")
    members.finish()
    if mode is None and members.has("mode"):
        return None
    mode = mode or "limited"
    if mode == "limited" and not size:
        what = "limited large objects without a bulk-max-size"
        members.error("missing-member", what, 'add "bulk-max-size" in KB, more than 0')
    return LobSettings(mode, size)
