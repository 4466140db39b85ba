"""What running tasks of AWS DMS needs: to look at them, start, stop and load them anew.

AWS lists tasks and events all or none, so the first has no resource.
"""

from __future__ import annotations

from collections.abc import Iterator

from replication_assets.declarations import DmsTask
from replication_assets.iam.policy import Statement

LOOK = ("dms:DescribeEvents", "dms:DescribeReplicationTasks")
RUN = (
    "dms:DescribeTableStatistics",
    "dms:ReloadTables",
    "dms:StartReplicationTask",
    "dms:StopReplicationTask",
)


def task_statements(task: DmsTask) -> Iterator[Statement]:
    yield Statement("look at tasks of DMS", LOOK, ("*",))
    yield Statement("run tasks of DMS", RUN, (task.arn,))
