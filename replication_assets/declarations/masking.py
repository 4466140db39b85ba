"""Masking policies. They are declared in `core/masking`, because the mask reads them; the rules go by
short names in `masks`."""

from __future__ import annotations

from typing import get_args

from replication_assets.core.masking.policy import ColumnPolicy, MaskingPolicy, Namespace, TablePolicy
from replication_assets.core.masking.rules import JsonPaths, ValueRule, XmlPaths

__all__ = ["RULES", "ColumnPolicy", "MaskingPolicy", "Namespace", "TablePolicy"]

RULES: tuple[type, ...] = (*get_args(ValueRule), JsonPaths, XmlPaths)
"""Every rule there is."""
