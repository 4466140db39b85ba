"""Edits that break promises still fit the program, and docs/guarantees.md tells of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication_assets_tests.breaks.edits import EDITS, Edit

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_an_edit_fits_the_program_in_one_place_and_names_a_test(edit: Edit) -> None:
    program = (REPOSITORY / "replication_assets" / edit.file).read_text(encoding="utf-8")
    assert program.count(edit.old) == 1
    assert edit.old != edit.new
    assert (REPOSITORY / "replication_assets_tests" / edit.test).exists()
    assert edit.name in (REPOSITORY / "docs" / "guarantees.md").read_text(encoding="utf-8")
