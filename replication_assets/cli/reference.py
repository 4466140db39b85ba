"""The commands of docs/command-line.md, from the program's own help.

`python -m replication_assets.cli.reference docs/command-line.md` rewrites what stands below the
heading `Commands`; a test says when that is due.
"""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

import typer

from replication_assets.cli.app import make_app

HEADING = "\n## Commands\n"
WIDTH = 100


def reference() -> str:
    """A section for each command, in the order of the help."""
    app = make_app(plain=True)
    command = typer.main.get_command(app)
    parts = []
    for name, inner in command.commands.items():  # type: ignore[attr-defined]
        nested = getattr(inner, "commands", None)
        for path in [[name]] if nested is None else [[name, each] for each in nested]:
            parts.append(f"\n### {' '.join(path)}\n\n```text\n{_help(app, path)}```\n")
    return "".join(parts)


def _help(app: typer.Typer, path: list[str]) -> str:
    text = io.StringIO()
    with redirect_stdout(text):
        app(
            [*path, "--help"],
            prog_name="replication-assets",
            standalone_mode=False,
            terminal_width=WIDTH,
            max_content_width=WIDTH,
        )
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def renewed(document: str) -> str:
    """The document with the commands as they are now."""
    kept, _, _ = document.partition(HEADING)
    return kept + HEADING + reference()


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(renewed(path.read_text()))
