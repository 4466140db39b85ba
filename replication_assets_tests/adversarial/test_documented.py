"""The threat model lists every attempt of this suite, and no other."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "threat-model.md"
ROW = re.compile(r"\| \[(?P<module>test_\w+)\]\((?P<link>[^)]+)\): (?P<tests>.*) \|")


def test_each_attempt_stands_in_the_threat_model_in_the_module_that_its_link_names() -> None:
    documented: set[tuple[str, str]] = set()
    for line in DOCUMENT.read_text().splitlines():
        found = ROW.search(line)
        if found is not None:
            assert (DOCUMENT.parent / found["link"]).resolve() == HERE / f"{found['module']}.py"
            names = re.findall(r"`(\w+)`", found["tests"])
            documented |= {(found["module"], f"test_{name}") for name in names}
    written = {
        (path.stem, name)
        for path in HERE.glob("test_*.py")
        if path != Path(__file__)
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert documented == written
