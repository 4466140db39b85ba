"""What the documents hold that can be executed or checked: code blocks, tables, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def prose(text: str) -> str:
    """A text with its code replaced by as many spaces: comments are no headings, brackets no links."""
    return _FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def section(document: Path, heading: str) -> str:
    """The text below a heading, to the next one of its level or above."""
    text = prose(document.read_text())
    found = next(match for match in _HEADING.finditer(text) if match.group(2) == heading)
    ends = (
        match.start()
        for match in _HEADING.finditer(text, found.end())
        if len(match.group(1)) <= len(found.group(1))
    )
    return document.read_text()[found.end() : next(ends, len(text))]


def code(document: Path, heading: str, language: str = "python") -> str:
    """The code blocks of a section in one language, one after another."""
    blocks = [body for kind, body in _FENCE.findall(section(document, heading)) if kind == language]
    assert blocks, f"no {language} under {heading!r} of {document.name}"
    return "\n".join(blocks)


def rows(document: Path, heading: str, table: int = 0) -> list[list[str]]:
    """The cells of a table of a section, its header apart."""
    tables: list[list[list[str]]] = []
    before = ""
    for line in section(document, heading).splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                tables.append([])
            tables[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        before = line
    return tables[table][2:]


def quoted(text: str) -> list[str]:
    """What stands in backticks inside a text."""
    return re.findall(r"`([^`\n]+)`", prose(text))


def local_links(document: Path) -> Iterator[tuple[Path, str]]:
    """Files that a document links to, and the heading in them, where one is named."""
    for target in _LINK.findall(prose(document.read_text())):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield ((document.parent / path).resolve() if path else document, anchor)


def anchors(document: Path) -> set[str]:
    """What links can name in a document, spelled as GitHub does."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for _, heading in _HEADING.findall(prose(document.read_text()))
    }
