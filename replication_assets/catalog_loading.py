"""A catalog by the name of the module and the attribute that hold it.

Loading runs the user's module and nothing else: no connection, no secret. Whatever goes wrong in
that module is told with its own file and line. Imports no Dagster, so that the command line starts
quickly.
"""

from __future__ import annotations

import importlib
import traceback
from types import ModuleType

from replication_assets.catalog import Catalog
from replication_assets.errors import CatalogError

CATALOG_VARIABLE = "REPLICATION_ASSETS_CATALOG"


def load_catalog(path: str, *, named_by: str = CATALOG_VARIABLE) -> Catalog:
    """The catalog that `package.module:attribute` names: a `Catalog`, or a function that returns one.
    `named_by` is where the user wrote the path.

    Raises:
        CatalogError: there is none at that path.
    """
    module_name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(module_name)
        found = _attribute(module, attribute)
        catalog = found() if callable(found) else found
    except CatalogError:
        raise
    # The user's module may raise anything, and all of it is a mistake in the declaration.
    except Exception as error:
        fix = f"Fix: {named_by}{' ' if named_by.startswith('--') else '='}package.module:attribute"
        raise CatalogError([f"{path!r} cannot be loaded ({_told(error)}). {fix}"], where=named_by) from error
    if not isinstance(catalog, Catalog):
        raise CatalogError([f"{path!r} is {type(catalog).__name__}, not a Catalog"], where=named_by)
    return catalog


def _attribute(module: ModuleType, name: str) -> object:
    if not name:
        raise AttributeError("no attribute is named after a colon")
    return getattr(module, name)


def _told(error: Exception) -> str:
    """The error with the line of the user's code that raised it, if it comes from there."""
    if isinstance(error, ImportError | AttributeError | ValueError) and not isinstance(error, SyntaxError):
        return str(error)
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
    return f"{place}{type(error).__name__}: {error}"
