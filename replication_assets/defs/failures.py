"""Errors of the project as Dagster failures: what, where and fix on the run page, and a retry
only where the class of the error says that one may help."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from replication_assets.errors import ReplicationError


@contextmanager
def explained() -> Iterator[None]:
    """Turn a `ReplicationError` of the block into a `dagster.Failure` with the same words."""
    try:
        yield
    except ReplicationError as error:
        facts = {"error": type(error).__name__, "where": error.where, "fix": error.fix}
        raise dg.Failure(
            str(error),
            metadata={name: text for name, text in facts.items() if text},
            allow_retries=error.retryable,
        ) from error
    except dg.DagsterExecutionInterruptedError as interrupt:
        # Dagster counts an interrupt as one more reason to follow the op's retry policy: a run
        # that somebody terminates would begin again, and be killed in the middle of it.
        if _is_being_terminated():
            raise dg.Failure("Terminated.", allow_retries=False) from interrupt
        raise


def _is_being_terminated() -> bool:
    """Whether somebody asked for the end of this run, as opposed to its process or host ending."""
    context = dg.OpExecutionContext.get()
    run = context.instance.get_run_by_id(context.run_id)
    return run is not None and run.status == dg.DagsterRunStatus.CANCELING
