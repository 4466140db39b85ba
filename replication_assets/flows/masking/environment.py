"""Environments: a database is told which one it is, and whose seals it takes."""

from __future__ import annotations

import datetime as dt

from replication_assets.declarations import Environment
from replication_assets.flows.refresh.refreshing import RefreshAdapters
from replication_assets.ports.environment import Marker


def set_up_environment(
    adapters: RefreshAdapters, environment: Environment, *, confirm: bool = False, who: str = "unknown"
) -> Marker:
    """Mark the environment's database with its name, and with the public half of the mask key.

    Idempotent. `confirm` marks a database that holds tables already, or exchanges the key; the next
    refresh is a full one then. A line of the audit says who did it.

    Raises:
        GuardError: it is another environment, or `confirm` is missing.
        SecretError: the mask key cannot be read.
    """
    keys = adapters.mask_keys(environment)
    target = adapters.environment_target(environment)
    now = dt.datetime.now(dt.UTC)
    marker = Marker(environment.name, environment.trust, keys.public_key, keys.key_id, now)
    before = target.marker()
    target.mark(marker, confirm=confirm)
    made = target.marker() or marker
    if before is None or before.key_id != made.key_id:
        body = {
            "key_id": made.key_id,
            "former_key_id": before.key_id if before is not None else None,
            "confirmed": confirm,
        }
        adapters.store().audit(environment.name).append("", "", "setup", who, body, now)
    return made


def drop_copy(adapters: RefreshAdapters, environment: Environment, *, who: str, run: str) -> bool:
    """Drop the published copy of an environment, and whatever its refreshes have loaded or staged. The
    marker stays. Whether anything was published; a line of the audit says who did it.

    Raises:
        RefreshInProgress: a run refreshes the environment.
        GuardError: the database is not marked as this environment.
    """
    target, store = adapters.environment_target(environment), adapters.store()
    with target.held("", run):
        published = target.published()
        target.drop()
        for refresh in adapters.catalog.refreshes:
            if refresh.environment == environment.name:
                store.staging(refresh.name).clear()
        of = (published.refresh, published.id) if published is not None else ("", "")
        store.audit(environment.name).append(*of, "drop", who, {}, dt.datetime.now(dt.UTC))
    return published is not None
