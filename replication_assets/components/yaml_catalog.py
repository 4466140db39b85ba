"""The catalog that a YAML file declares, or every mistake in it with file and line.

Used by the component, for which Dagster reads the file, and by the command line, which reads it
here: a document of the component's type in a file of one or more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster_shared.yaml_utils import parse_yamls_with_source_position
from dagster_shared.yaml_utils.source_position import SourcePositionTree

from replication_assets.catalog import Catalog
from replication_assets.components.declared_values import WRONG, ValueProblem, read
from replication_assets.components.places import path_of, place_of
from replication_assets.errors import CatalogError

ATTRIBUTES = "attributes"
TYPE = "ReplicationComponent"


def catalog_of(raw: Any, resolution: dg.ResolutionContext) -> Catalog:
    """The catalog of what stands under `attributes`; templates in it are rendered first.

    Raises:
        CatalogError: with every mistake.
    """
    values = resolution.at_path(ATTRIBUTES).resolve_value(raw)
    problems: list[ValueProblem] = []
    catalog = read(values, Catalog, problems)
    tree = resolution.source_position_tree
    positions = _attributes(tree) if tree is not None else None
    if problems:
        told = [f"{place_of(positions, problem.path)}{problem}" for problem in problems]
    else:
        assert catalog is not WRONG
        told = [f"{place_of(positions, path_of(values, text))}{text}" for text in catalog.problems()]
    if told:
        raise CatalogError(told, where="defs.yaml")
    found: Catalog = catalog
    return found


def _attributes(tree: SourcePositionTree) -> SourcePositionTree:
    return tree.children.get(ATTRIBUTES, tree)


def load_yaml_catalog(path: Path) -> Catalog:
    """The catalog of a `defs.yaml`.

    Raises:
        CatalogError: the file cannot be read, declares no catalog or several, or is wrong.
    """
    try:
        documents = parse_yamls_with_source_position(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise CatalogError([f"{path} cannot be read: {error.strerror}"], where="defs.yaml") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}: " if mark is not None else ""
        problem = f"{place}it is no YAML: {error.problem or error.context}. Fix: the indentation, or a quote"
        raise CatalogError([problem], where="defs.yaml") from None
    ours = [
        each
        for each in documents
        if isinstance(each.value, dict) and str(each.value.get("type", "")).rpartition(".")[2] == TYPE
    ]
    if len(ours) != 1:
        problem = f"{path} holds {len(ours)} documents of type {TYPE}. Fix: name a file with one"
        raise CatalogError([problem], where="defs.yaml")
    (document,) = ours
    resolution = dg.ResolutionContext.default(document.source_position_tree)
    return catalog_of(document.value.get(ATTRIBUTES) or {}, resolution)
