"""Tasks as the API of DMS describes them: mappings and settings as texts within the JSON.

`aws dms describe-replication-tasks` answers with `ReplicationTasks`, of which each has `TableMappings` and
`ReplicationTaskSettings`. Places in findings are those within such a text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

_TEXTS = ("TableMappings", "ReplicationTaskSettings")


def unpacked(texts: Mapping[str, str]) -> dict[str, str]:
    """Files by name, with those parts of described tasks in the place of their file. A file that is no such
    answer, or no JSON, is left as it is: whoever reads it says what is wrong."""
    found: dict[str, str] = {}
    for file, text in texts.items():
        parts = dict(_parts(file, text))
        found |= parts or {file: text}
    return found


def _parts(file: str, text: str) -> Iterator[tuple[str, str]]:
    if not any(f'"{name}"' in text for name in _TEXTS):
        return
    try:
        document = json.loads(text.removeprefix("\ufeff"))
    except ValueError:
        return
    if not isinstance(document, dict):
        return
    described = document.get("ReplicationTasks", [document])
    tasks = [each for each in described if isinstance(each, dict)] if isinstance(described, list) else []
    for number, task in enumerate(tasks, 1):
        for name in _TEXTS:
            if name in task:
                part = task[name] if isinstance(task[name], str) else json.dumps(task[name])
                yield f"{file}:{f'{number}:' if len(tasks) > 1 else ''}{name}", part
