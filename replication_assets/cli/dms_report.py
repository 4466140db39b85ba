"""The report of `dms explain` for people."""

from __future__ import annotations

from typing import Any

import orjson

from replication_assets.cli.output import Heading, show, show_table


def show_report(document: dict[str, Any]) -> None:
    for table in document["tables"]:
        _show_table(table)
    if document["left_out"]:
        show("left out", "bold")
        for each in document["left_out"]:
            show(f"  {each['table']}: {each['why']}")
    if document["overridden"]:
        show("rules that give way (the lower rule-id wins)", "bold")
        _show_overridden(document["overridden"])
    if document["endpoint"] is not None:
        show("endpoint", "bold")
        for name, value in document["endpoint"].items():
            show(f"  {name}: {_value(value)}")
    if document["settings"]:
        show("settings", "bold")
        rows = [
            (f"{each['section']}{'.' if each['setting'] else ''}{each['setting']}", _value(each["value"]),
             each["verdict"], each["here"])
            for each in document["settings"]
        ]  # fmt: skip
        show_table([Heading("setting"), Heading("value"), Heading("verdict"), Heading("here")], rows, names=1)


def _show_overridden(overridden: list[dict[str, Any]]) -> None:
    """One line for each pair of rules, whatever the number of columns."""
    about: dict[tuple[str, str, str], list[str]] = {}
    for each in overridden:
        about.setdefault((each["rule"], each["action"], each["by"]), []).append(each["about"])
    for (rule, action, by), names in about.items():
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        named = ", ".join(names[:_MOST_NAMES])
        show(f"  rule {rule} ({action}) of {named}{more}: rule {by} wins")


_MOST_NAMES = 3


def _show_table(table: dict[str, Any]) -> None:
    show(f"{table['kind']} {table['source']} -> {_where(table)}", "bold")
    show(f"  selected by rule {table['selected_by']}, load-order {table['load_order']}")
    if table["filter"]:
        show(f"  rows: {table['filter']}")
    for each in table["id_ranges"]:
        low = "lowest" if each["low"] is None else each["low"]
        high = "highest" if each["high"] is None else f"below {each['high']}"
        show(f"  id range of {each['column']}: {low} to {high}")
    for segment in table["segments"]:
        show(f"  segment: {segment}")
    if table["key"]:
        origin = f" (unique index {table['key_name']})" if table["key_origin"] == "unique-index" else ""
        show(f"  key: {', '.join(table['key'])}{origin}")
    if table["columns"]:
        rows = [
            (each["source"] or "(added)", each["target"], each["type"] or "", _how(each))
            for each in table["columns"]
        ]
        show_table([Heading("  column"), Heading("target"), Heading("type"), Heading("how")],
                   [(f"  {a}", b, c, d) for a, b, c, d in rows], names=2)  # fmt: skip
    if not table["columns_known"]:
        show("  other columns as they are: give --tables to see them")
    for each in table["removed"]:
        show(f"  without {each['column']}: {each['why']}")
    _show_beside(table)
    _show_items(table)


def _show_beside(table: dict[str, Any]) -> None:
    """What changes no row: large objects, validation, tags, tablespaces."""
    lobs = table["lobs"]
    if lobs is not None:
        size = "" if lobs["bulk_max_size"] is None else f", {lobs['bulk_max_size']} KB at once"
        show(f"  large objects in DMS: {lobs['mode']}{size}; here whole")
    for each in table["validation"]:
        functions = [
            f"{side} {each[f'{side}_function']}"
            for side in ("source", "target")
            if each[f"{side}_function"] is not None
        ]
        names = ", ".join(each["columns"]) or each["column"]
        show(f"  validation of {names} in DMS: {', '.join(functions)}")
    if table["tags"]:
        tags = ", ".join(f"{key}={value}" for key, value in table["tags"].items())
        show(f"  tags in S3 in DMS: {tags}")
    for each in table["tablespaces"]:
        show(f"  {each['target']} in DMS: {each['name']}")


def _where(table: dict[str, Any]) -> str:
    items = table["items"]
    if items is not None:
        return f"DynamoDB table {items['table']}"
    if table["messages"] is not None:
        return f"topic {table['messages']['topic'] or 'or stream of the endpoint'}"
    return str(table["target"])


def _show_items(table: dict[str, Any]) -> None:
    items = table["items"]
    if items is not None:
        for key in items["keys"]:
            show(f"  item key {key['name']} ({key['type']}): {key['template']}")
        for each in items["attributes"]:
            shown = each.get("template", each.get("constant", each.get("type")))
            show(f"  attribute {each['name']} ({each['type'] or 'of its column'}): {shown}")
        others = "become attributes" if items["columns"] == "attributes" else "go into the map _doc"
        left = f" but {', '.join(items['excluded'])}" if items["excluded"] else ""
        show(f"  all columns{left} {others}")
    _show_messages(table["messages"])
    _show_condition(table["condition"])
    if "samples_refused" in table:
        show(f"  no samples: {table['samples_refused']}", "yellow")
    for each in table.get("sample_items_refused", [])[:3]:
        show(f"  no item: {each}", "yellow")
    for each in _samples(table)[:3]:
        show(f"  sample: {orjson.dumps(each, default=str).decode()}")


def _samples(table: dict[str, Any]) -> list[Any]:
    """Those of what is written: items, messages, or rows."""
    kinds = ("sample_items", "sample_messages", "sample_rows")
    return next((list(table[kind]) for kind in kinds if kind in table), [])


def _show_messages(messages: dict[str, Any] | None) -> None:
    if messages is None:
        return
    key = messages["key"]
    how = key["loads"]
    if key["changes"] != key["loads"]:
        how = f"{key['loads']} in full loads, {key['changes']} for changes"
    show(f"  message key: {how}" + (f" {key['value']}" if key["value"] else ""))
    for each in messages["attributes"]:
        value = each["value"]
        shown = value if isinstance(value, str) else orjson.dumps(value).decode()
        show(f"  attribute {each['name']} ({each['type']}): {shown}")
    others = "stand in data" if messages["columns"] == "attributes" else "stand in data._doc"
    left = f" but {', '.join(messages['excluded'])}" if messages["excluded"] else ""
    show(f"  all columns{left} {others}")


def _show_condition(condition: dict[str, Any] | None) -> None:
    if condition is None:
        return
    during = [word for word in ("full_load", "cdc") if condition[f"during_{word}"]]
    show(f"  condition in {' and '.join(during) or 'neither phase'}: {condition['expression']}")
    for kind in ("attribute_names", "attribute_values"):
        for name, value in condition[kind].items():
            show(f"    {name} = {orjson.dumps(value).decode()}")


def _how(column: dict[str, Any]) -> str:
    parts = [f"rule {rule}" for rule in column["rules"]]
    if column["expression"]:
        parts.append(f"= {column['expression']}")
    for each in column["masks"]:
        parts.append(each["action"] + (f" with {each['character']}" if each["character"] else ""))
    if column["before_image"]:
        parts.append("value before an update")
    return ", ".join(parts)


def _value(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
