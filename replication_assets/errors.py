"""Every error that the project raises, in one tree.

    ReplicationError
    ├── CatalogError            what was declared cannot work (all problems at once)
    ├── SecretError             a credential reference cannot be resolved
    ├── SourceError             the source refused, or cannot do what is asked
    │   ├── SourceUnavailable   connection lost or refused: retry may help
    │   ├── SourceNotReady      a setting, grant or object is missing; `fix` is the statement
    │   ├── LoadBlocked         a running transaction holds up a snapshot
    │   ├── SlotLost            changes are gone; only a re-load brings the store up to date
    │   ├── SlotBusy            another capture reads this slot
    │   └── DecodeError         the change stream holds something not understood
    ├── StoreError              the event store
    │   ├── CommitConflict      another writer committed first: re-read and decide
    │   ├── StoreCorrupt        a file of the log is missing or torn
    │   └── SchemaConflict      rows do not fit the table's stored columns
    ├── NotLoaded               a range has no complete load that covers it
    ├── NeedsReload             the source changed in a way that its log does not carry
    ├── TargetError             a projection target refused
    │   ├── TargetUnavailable   throttled or unreachable for too long: retry may help
    │   └── TableSuspended      a table is left alone until somebody resumes it
    ├── DeliveryError           a notification or metric did not arrive where it should
    ├── CutoverError            a cutover may not take the step that is asked of it
    │   └── HookFailed          what points readers elsewhere said no, or did not answer
    ├── RefreshError            a refresh may not take the step that is asked of it
    │   ├── GuardError          what would reach a nonproduction target is not certified for it
    │   ├── PolicyError         the masking policy does not fit the tables (all problems at once)
    │   ├── RefreshInProgress   another run refreshes the environment
    │   └── VerificationFailed  the copy is not what the guard certified; it was not published
    └── QueryError              a query of the store cannot be understood or answered

An error says what went wrong, where, and how to put it right. `retryable` is a
property of the class: flows and Dagster retry policies read it and nothing else.
Messages name tables, columns, positions and identifiers of runs; never a cell
value, never a credential.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class ReplicationError(Exception):
    """Base of the tree: `what` happened, `where`, and the `fix`."""

    retryable: ClassVar[bool] = False

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what = what
        self.where = where
        self.fix = fix
        text = f"{where}: {what}" if where else what
        if fix:
            stop = "" if text.endswith((".", "!", "?")) else "."
            text = f"{text}{stop} Fix: {fix}"
        super().__init__(text)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling of exceptions, and
        # multiprocess executors pickle them.
        # The dictionary goes along for what a subclass adds (`CatalogError.problems`).
        return (_rebuild, (type(self), self.what, self.where, self.fix), self.__dict__)


def _rebuild(kind: type[ReplicationError], what: str, where: str, fix: str) -> ReplicationError:
    error = kind.__new__(kind)
    ReplicationError.__init__(error, what, where=where, fix=fix)
    return error


class CatalogError(ReplicationError):
    """Everything that is wrong with a declaration, listed together."""

    def __init__(self, problems: Sequence[str], *, where: str = "catalog") -> None:
        self.problems = tuple(problems)
        listed = "\n".join(f"  - {problem}" for problem in problems)
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        super().__init__(f"{count}:\n{listed}", where=where)


class SecretError(ReplicationError):
    """A credential reference is malformed, or what it points at cannot be read."""


class SourceError(ReplicationError):
    """The source refused, or cannot do what is asked."""


class SourceUnavailable(SourceError):
    """The connection was refused or lost."""

    retryable = True


class SourceNotReady(SourceError):
    """A setting, grant or object is missing on the source; `fix` is the statement that adds it."""


class LoadBlocked(SourceError):
    """A snapshot waits for transactions that do not end; the message names their backends."""

    retryable = True


class SlotLost(SourceError):
    """The log that capture stands on is gone: changes after the last durable position are lost.

    Never retried and never skipped: the remedy is a new slot and a new load of every range.
    """


class SlotBusy(SourceError):
    """Another session reads the slot. At most one capture runs per source."""

    retryable = True


class DecodeError(SourceError):
    """The change stream holds a message or value that is not understood; nothing was advanced."""


class StoreError(ReplicationError):
    """The event store refused or failed."""


class CommitConflict(StoreError):
    """Another writer committed first. Re-read the log; what it holds decides what is left to do."""

    retryable = True


class StoreCorrupt(StoreError):
    """A file of the log is missing, torn or not what the log says it is."""


class SchemaConflict(StoreError):
    """Rows do not fit the columns that the log already has."""


class NotLoaded(ReplicationError):
    """No complete load covers the id range, so its rows cannot be known."""


class NeedsReload(ReplicationError):
    """The source changed in a way its log does not carry; the range must be loaded again."""


class TargetError(ReplicationError):
    """A projection target refused or failed."""


class TargetUnavailable(TargetError):
    """The target throttled, failed or did not answer for longer than a request may wait."""

    retryable = True


class TableSuspended(TargetError):
    """A projection refused rows of the table, and was told to leave it alone then. Retries do not
    help: somebody has to resume it."""


class DeliveryError(ReplicationError):
    """A notification or a metric was not accepted. It is kept, and delivered again."""

    retryable = True


class CutoverError(ReplicationError):
    """A gate does not pass, or the step does not follow from what was done so far."""


class HookFailed(CutoverError):
    """A switch hook failed. Where readers are now is not known."""


class RefreshError(ReplicationError):
    """A refresh cannot begin, or may not take its next step."""


class GuardError(RefreshError):
    """Rows, a certificate, a key or an environment is not what the guard demands. Nothing was
    written. Retries do not help."""


class PolicyError(RefreshError):
    """Columns without a class and a rule, changed since they were reviewed, or with a rule that does
    not fit them: all of them listed. No row was read."""

    def __init__(self, problems: Sequence[str], *, where: str = "masking policy") -> None:
        self.problems = tuple(problems)
        listed = "\n".join(f"  - {problem}" for problem in problems)
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        super().__init__(f"{count}:\n{listed}", where=where)


class RefreshInProgress(RefreshError):
    """Another run refreshes the environment; the message names it. It is over when that run is."""

    retryable = True


class VerificationFailed(RefreshError):
    """The copy was loaded and is not published: a proof failed. Readers have the copy of before."""


class QueryError(ReplicationError):
    """SQL that the engine refuses, or a name in it that no table has."""


def is_interrupt(error: BaseException) -> bool:
    """Whether an error is Ctrl-C or SIGTERM. DuckDB raises a RuntimeError of these words for a signal
    that comes while a query runs, without a cause."""
    told = isinstance(error, RuntimeError) and error.args == ("Query interrupted",)
    return told or isinstance(error, KeyboardInterrupt)
