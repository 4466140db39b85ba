"""What failed of several sources or projections: the others go on, and the command fails at its end.

A source that does not answer is asked no more in the same command. A wrong command line, or a wrong catalog,
ends at once: nothing was begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from replication_assets.cli.exits import told
from replication_assets.errors import CatalogError, QueryError, ReplicationError


class Failures:
    def __init__(self) -> None:
        self._found: dict[str, ReplicationError] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def has(self, owner: str) -> bool:
        return owner in self._found

    @contextmanager
    def of(self, owner: str) -> Iterator[None]:
        """Keep an error of this source or projection; the first is the cause of those that follow."""
        try:
            yield
        except (CatalogError, QueryError):
            raise
        except ReplicationError as error:
            self._found.setdefault(owner, error)

    def end(self) -> None:
        """Raises the last error kept, if there is one; those before it are told."""
        *others, last = self._found.values() or (None,)
        for error in others:
            if error is not None:
                told(error)
        if last is not None:
            raise last
