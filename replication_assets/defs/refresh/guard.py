"""The guard at definition time: a job that reaches a nonproduction target around the mask is refused.

Ops that may write to an environment ask for the resource `environments`. Only the steps of a refresh
may, and each only behind the step before it: what `load` takes comes from `mask`, of the same refresh.
The same is asked again when a step begins, so that a job that was put together elsewhere, from the
same ops in another order, fails before its first step does anything. Behind both, `load` takes sealed
batches only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from weakref import WeakKeyDictionary

import dagster as dg
from dagster import DependencyDefinition, GraphDefinition, JobDefinition, OpDefinition

from replication_assets.errors import GuardError

ENVIRONMENTS = "environments"
"""Key of the resource that reaches nonproduction targets."""

STEPS = ("plan", "mask", "load", "verify", "publish")

_OURS: WeakKeyDictionary[OpDefinition, tuple[str, str]] = WeakKeyDictionary()
"""Refresh and step of every op that this package made. An op is known by being in here, not by its
name or its tags, which anybody can write."""


def registered(op: OpDefinition, refresh: str, step: str) -> OpDefinition:
    """The op, known as a step of a refresh."""
    _OURS[op] = (refresh, step)
    return op


def guarded(definitions: dg.Definitions) -> dg.Definitions:
    """The same definitions, once every job in them was walked.

    Wrap what you merge with `build_definitions`: `defs = guarded(dg.Definitions.merge(...))`.

    Raises:
        GuardError: jobs that reach a nonproduction target around the mask, all of them.
    """
    repository = definitions.get_repository_def()
    require_guarded(job for job in repository.get_all_jobs())
    return definitions


def require_guarded(jobs: Iterable[JobDefinition]) -> None:
    """Raises GuardError naming every op of the jobs that is not where a refresh has it."""
    problems = [problem for job in jobs for problem in _job_problems(job)]
    if problems:
        raise GuardError(
            "; ".join(sorted(set(problems))),
            where="definitions",
            fix="start refreshes by the jobs that `build_definitions` makes; give no other op the resource "
            f"`{ENVIRONMENTS}`",
        )


def _job_problems(job: JobDefinition) -> Iterator[str]:
    problems = [*_graph_problems(job.graph), *_beside_ops(job)]
    yield from (f"job {job.name}: {problem}" for problem in problems)


def _beside_ops(job: JobDefinition) -> Iterator[str]:
    """Hooks and resources run in the process of an op, and may ask for resources of their own."""
    for hook in sorted(job.hook_defs, key=lambda each: each.name):
        if ENVIRONMENTS in hook.required_resource_keys:
            yield _stranger(f"hook {hook.name}")
    for key, resource in sorted(job.resource_defs.items()):
        if ENVIRONMENTS in resource.required_resource_keys:
            yield _stranger(f"resource {key}")


def _stranger(who: str) -> str:
    return (
        f"{who} asks for `{ENVIRONMENTS}`, which reaches nonproduction targets, and is no step of a refresh"
    )


def _graph_problems(graph: GraphDefinition) -> Iterator[str]:
    known: dict[str, tuple[str, str]] = {}
    for node in graph.nodes:
        definition = node.definition
        if isinstance(definition, GraphDefinition):
            yield from _graph_problems(definition)
        elif isinstance(definition, OpDefinition):
            if definition in _OURS:
                known[node.name] = _OURS[definition]
            elif ENVIRONMENTS in definition.required_resource_keys:
                yield _stranger(f"op {node.name}")
        for hook in sorted(node.hook_defs, key=lambda each: each.name):
            if ENVIRONMENTS in hook.required_resource_keys:
                yield _stranger(f"hook {hook.name}")
    for node_name, (refresh, step) in known.items():
        yield from _step_problems(graph, node_name, refresh, step, known)


def _step_problems(
    graph: GraphDefinition, name: str, refresh: str, step: str, known: dict[str, tuple[str, str]]
) -> Iterator[str]:
    """Each step but the first takes exactly what the step before it gives."""
    if step == STEPS[0]:
        return
    before = STEPS[STEPS.index(step) - 1]
    inputs = [inputs for invocation, inputs in graph.dependencies.items() if _name_of(invocation) == name]
    sources = [source for each in inputs for source in each.values()]
    if len(sources) != 1:
        yield f"step {step} of refresh {refresh} has {len(sources)} inputs, not the one from {before}"
        return
    (source,) = sources
    given = known.get(source.node) if isinstance(source, DependencyDefinition) else None
    if given != (refresh, before):
        whom = getattr(source, "node", "something else")
        yield f"step {step} of refresh {refresh} takes the output of {whom}, not of its own {before}"


def _name_of(invocation: object) -> str:
    alias = getattr(invocation, "alias", None)
    return str(alias or getattr(invocation, "name", invocation))
