"""A switch hook that is a function of the user's own, called in this process."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from replication_assets.errors import HookFailed
from replication_assets.ports import HookCall


@dataclass(frozen=True, slots=True)
class FunctionHook:
    """See `ports.SwitchHook`. `function` is `package.module:name`; it returns when readers are
    where they should be, and raises if they are not."""

    function: str

    @property
    def where(self) -> str:
        return f"function {self.function}"

    def call(self, call: HookCall) -> None:
        module_name, _, name = self.function.partition(":")
        try:
            function = getattr(importlib.import_module(module_name), name)
        except (ImportError, AttributeError) as error:
            fix = "make it importable in the process that runs the cutover"
            raise HookFailed(f"it cannot be imported ({error})", where=self.where, fix=fix) from error
        try:
            function(call)
        # Whatever a function of somebody else raises means that it failed. Its words stay in the
        # chained error: they may hold anything.
        except Exception as error:
            raise HookFailed(
                f"it raised {type(error).__name__}", where=self.where, fix="see the chained error"
            ) from error
