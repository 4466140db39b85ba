"""What the flows need from the outside world, and the guarantees that each adapter gives.

Three ports: a `ChangeSource` is read, an `EventStore` remembers, a `ProjectionTarget`
follows. Adapters import this module and `core`, never each other. Guarantees are in the
docstrings; one contract suite per port runs over every implementation.
"""

from replication_assets.core.range_plans import RangePlan
from replication_assets.core.refusals import Refusal
from replication_assets.ports.cutover import CutoverLog, HookCall, SwitchHook
from replication_assets.ports.dead_letters import Closed, DeadLetter, DeadLetters, Suspension
from replication_assets.ports.intrusive import IntrusiveSource
from replication_assets.ports.source import (
    CaptureSetup,
    ChangeChunk,
    ChangeSource,
    ChangeStream,
    KeyBounds,
    LoadSlice,
    LoadStream,
    PartitionTree,
    PassiveSource,
    RangeDigests,
    SchemaDifference,
    SourceIdentity,
    SourceStatus,
    Writer,
)
from replication_assets.ports.store import (
    CapturedTables,
    CaptureLists,
    CaptureMark,
    CellCount,
    EventLog,
    EventStore,
    Ledger,
    LogSnapshot,
    LogWriter,
)
from replication_assets.ports.target import (
    DELETED,
    ProjectionTarget,
    RangeCheckpoint,
    Refuse,
    TargetNeeds,
    TargetView,
    refuse_loudly,
    view_schema,
)
from replication_assets.ports.validation import FindingLists, KnownDigest, KnownDigests
from replication_assets.ports.whole_changes import LeavesOutUnchanged

__all__ = [
    "DELETED",
    "CaptureLists",
    "CaptureMark",
    "CaptureSetup",
    "CapturedTables",
    "CellCount",
    "ChangeChunk",
    "ChangeSource",
    "ChangeStream",
    "Closed",
    "CutoverLog",
    "DeadLetter",
    "DeadLetters",
    "EventLog",
    "EventStore",
    "FindingLists",
    "HookCall",
    "IntrusiveSource",
    "KeyBounds",
    "KnownDigest",
    "KnownDigests",
    "LeavesOutUnchanged",
    "Ledger",
    "LoadSlice",
    "LoadStream",
    "LogSnapshot",
    "LogWriter",
    "PartitionTree",
    "PassiveSource",
    "ProjectionTarget",
    "RangeCheckpoint",
    "RangeDigests",
    "RangePlan",
    "Refusal",
    "Refuse",
    "SchemaDifference",
    "SourceIdentity",
    "SourceStatus",
    "Suspension",
    "SwitchHook",
    "TargetNeeds",
    "TargetView",
    "Writer",
    "refuse_loudly",
    "view_schema",
]
