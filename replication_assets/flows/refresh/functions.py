"""Functions of the user's own, by `package.module:function`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from replication_assets.errors import RefreshError


def import_function(path: str, where: str) -> Callable[..., Any]:
    """Raises RefreshError if there is none of that name. Its own errors while it is imported stay
    unquoted: they may say anything."""
    module_name, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except Exception as error:  # noqa: BLE001  # told below, outside of the handler: no context
        kind = type(error).__name__
    else:
        if callable(found):
            return found  # type: ignore[no-any-return]
        kind = f"it is {type(found).__name__}"
    raise RefreshError(
        f"{path!r} is no function that can be imported ({kind})",
        where=where,
        fix="name it as package.module:function, importable in the process that runs the refresh",
    )
