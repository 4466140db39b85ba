"""Components of a task that log, and how much: `LogComponents` of the section `Logging`.

Names are those of the user guide's page about logging task settings; what DMS does not know it refuses.
"""

from __future__ import annotations

from replication_assets.dms.findings import Findings
from replication_assets.dms.json_source import Array, Node, Object
from replication_assets.dms.members import Members

COMPONENTS = (
    "ADDONS", "CDC", "COMMON", "COMMUNICATION", "DATA_RESYNC", "DATA_STRUCTURE", "FILE_FACTORY",
    "FILE_TRANSFER", "INFRASTRUCTURE", "IO", "METADATA_MANAGER", "PERFORMANCE", "REST_SERVER", "SERVER",
    "SORTER", "SOURCE_CAPTURE", "SOURCE_UNLOAD", "TABLES_MANAGER", "TARGET_APPLY", "TARGET_LOAD",
    "TASK_MANAGER", "TRANSFORMATION", "UTILITIES", "VALIDATOR", "VALIDATOR_EXT",
)  # fmt: skip
SEVERITIES = tuple(
    f"LOGGER_SEVERITY_{each}" for each in ("DEFAULT", "ERROR", "WARNING", "INFO", "DEBUG", "DETAILED_DEBUG")
)


def tell_components(node: Node, findings: Findings) -> None:
    if not isinstance(node, Array):
        findings.error("wrong-type", "LogComponents is not a list", "write [...]", node.place)
        return
    for each in node.items:
        if not isinstance(each, Object):
            findings.error("wrong-type", "a log component is not an object", "write {...}", each.place)
            continue
        members = Members(each, findings, "log component")
        members.word("Id", COMPONENTS, required=True)
        members.word("Severity", SEVERITIES, required=True)
        members.finish()
