"""The references of docs/configuration.md and docs/masking.md, from the declarations themselves.

`python -m replication_assets.cli.configuration docs/configuration.md` (`make docs`) rewrites what
stands below the heading `Reference`; a test says when that is due. Masking policies and their rules
have a document of their own. What a field means is what
the docstring of its class says of it: the sentences that name it in backticks.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from inspect import getdoc
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from replication_assets.catalog import Catalog, MaskingPolicy
from replication_assets.secret_references import EnvVar, SecretsManager, SsmParameter

HEADING = "\n## Reference\n"
WORDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    dt.date: "date",
    NoneType: "none",
}
_REFERENCES = {EnvVar, SecretsManager, SsmParameter}
_SENTENCE = re.compile(r"(?<=[.])\s+(?=[A-Z`])")


MASKING = "masking.md"
"""Where masking policies are told; everything else is in the other document."""


def reference(document: str) -> str:
    """A section for each declaration of a document, then what it holds, one after another."""
    return "".join(_section(kind) for kind in told_in(document))


def told_in(document: str) -> list[type[Any]]:
    """The declarations that a document tells of, by its name."""
    policies = declarations(MaskingPolicy)
    if document == MASKING:
        return policies
    return [kind for kind in declarations(Catalog) if kind not in policies]


def declarations(kind: type[Any], known: list[type[Any]] | None = None) -> list[type[Any]]:
    """A declaration and all that its fields can hold, each once."""
    found = known if known is not None else []
    if kind not in found:
        found.append(kind)
        for hint in get_type_hints(kind).values():
            for part in _kinds(hint):
                declarations(part, found)
    return found


def _kinds(hint: Any) -> Iterator[type[Any]]:
    if isinstance(hint, type) and is_dataclass(hint):
        yield hint
    for part in get_args(hint):
        if get_origin(hint) is not Literal:
            yield from _kinds(part)


def _section(kind: type[Any]) -> str:
    declared = {each.name: each for each in fields(kind)}
    prose, told = _told(getdoc(kind) or "", tuple(declared))
    hints = get_type_hints(kind)
    lines = [f"\n### {kind.__name__}\n"]
    lines += [f"{prose}\n"] if prose else []
    lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
    for (name, each), meaning in zip(declared.items(), _meanings(told), strict=True):
        lines.append(f"| `{name}` | {_cell(shown(hints[name]))} | {_default(each)} | {_cell(meaning)} |")
    return "\n".join(lines) + "\n"


def _told(doc: str, names: Sequence[str]) -> tuple[str, dict[str, list[str]]]:
    """What is said of the class, its first sentence included, and what is said of each field."""
    told: dict[str, list[str]] = {name: [] for name in names}
    prose: list[str] = []
    for paragraph in re.split(r"\n\n|\n(?=\* )", doc):
        for sentence in _SENTENCE.split(" ".join(paragraph.removeprefix("* ").split())):
            named = [name for name in names if f"`{name}`" in sentence]
            for name in named:
                told[name].append(sentence)
            if not named or not prose:
                prose.append(sentence)
    return " ".join(prose), told


def _meanings(told: Mapping[str, list[str]]) -> Iterator[str]:
    """What is said of each field; where the same was said of an earlier one, its name."""
    said: dict[str, str] = {}
    for name, sentences in told.items():
        words = " ".join(sentences)
        yield f"see `{said[words]}`" if words in said and words else words
        said.setdefault(words, name)


def shown(hint: Any) -> str:
    """A type in words, with links to declarations."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_united(parts)))
    if origin is Literal:
        return ", ".join(f"`{word!r}`" for word in parts).replace("'", '"')
    if origin in (tuple, Sequence):
        return f"list of {shown(parts[0])}"
    if origin is Mapping:
        return f"mapping of {shown(parts[0])} to {shown(parts[1])}"
    if is_dataclass(hint):
        name = str(hint.__name__)  # type: ignore[union-attr]
        elsewhere = MASKING if hint in declarations(MaskingPolicy) else ""
        return f"[{name}]({elsewhere}#{name.lower()})"
    return WORDS.get(hint) or str(getattr(hint, "__name__", hint))


def _united(parts: Sequence[Any]) -> Iterator[str]:
    """The kinds of a union; the three references to secrets are one word."""
    references = set(parts) >= _REFERENCES
    for part in parts:
        if references and part in _REFERENCES:
            yield "[reference](#references-to-secrets)"
        else:
            yield shown(part)


def _default(field: Field[Any]) -> str:
    if field.default is MISSING:
        return "required" if field.default_factory is MISSING else f"`{field.default_factory()!r}`"
    value = field.default
    if value is None:
        return "none"
    if is_dataclass(value) and not isinstance(value, type) and value == _plain(type(value)):
        return f"`{type(value).__name__}()`"
    if type(value) is int and value >= 2**20 and value % 2**20 == 0:
        return f"`{value}` ({value // 2**20:,} MiB)"
    if isinstance(value, dt.date):
        return f"`{value.isoformat()}`"
    return "`" + repr(value).replace("'", '"').replace("|", "\\|") + "`"


def _plain(kind: type[Any]) -> Any:
    """As it is made without arguments; None where some are required."""
    required = any(each.default is MISSING and each.default_factory is MISSING for each in fields(kind))
    return None if required else kind()


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


def renewed(document: str, name: str) -> str:
    """The text of a document with the reference as it is now."""
    kept, _, _ = document.partition(HEADING)
    return kept + HEADING + reference(name)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(renewed(path.read_text(), path.name))
