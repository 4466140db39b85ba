"""Dagster's entry point: the definitions of the catalog that the environment names.

`REPLICATION_ASSETS_CATALOG=package.module:attribute` points at a `Catalog`, or at a function
that returns one; unset, it is the sample system's. Loading reads that module and nothing
else: no connection, no secret.
"""

import importlib
import os

import dagster as dg

from replication_assets.catalog import Catalog
from replication_assets.defs.build import build_definitions
from replication_assets.errors import CatalogError

CATALOG_VARIABLE = "REPLICATION_ASSETS_CATALOG"
SAMPLE = "replication_assets.demo.catalog:sample_catalog"


def load_catalog(path: str) -> Catalog:
    """The catalog that `module:attribute` names.

    Raises:
        CatalogError: there is none at that path.
    """
    module_name, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        problem = f"{path!r} cannot be loaded ({error}). Fix: {CATALOG_VARIABLE}=package.module:attribute"
        raise CatalogError([problem], where=CATALOG_VARIABLE) from error
    catalog = found() if callable(found) else found
    if not isinstance(catalog, Catalog):
        raise CatalogError([f"{path!r} is {type(catalog).__name__}, not a Catalog"], where=CATALOG_VARIABLE)
    return catalog


@dg.definitions
def defs() -> dg.Definitions:
    return build_definitions(load_catalog(os.environ.get(CATALOG_VARIABLE, SAMPLE)))
