"""Plan: what a refresh copies, as of when and in which order, decided before the first row is read.

Everything that can stop a refresh is looked for here: the database's marker, the key, the policy,
the structures, what is loaded, the sizes. A plan that is under way for the same declaration is taken up
again with its positions; anything else begins anew.
"""

from __future__ import annotations

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.flows.refresh.refreshing import Refreshing


def plan_refresh(refreshing: Refreshing, *, run: str, fresh: bool = False) -> RefreshPlan:
    """The plan that is under way, or a new one; with `fresh`, always a new one. `run` names the run
    to whoever finds the environment held.

    Raises:
        RefreshInProgress: another run refreshes the environment.
        GuardError, SecretError: key, marker or environment are not what they should be.
        PolicyError: all problems of the policy with all tables.
        NotLoaded, NeedsReload: rows cannot be known from the store as of the position.
        RefreshError: anything else that stands in the way, with what to do.
    """
    raise NotImplementedError


def explain(refreshing: Refreshing, plan: RefreshPlan) -> str:
    """A plan for people: tables in the order of loading, rows, positions, what is not carried,
    warnings, and what the policy does by rule. No value of any row."""
    raise NotImplementedError
