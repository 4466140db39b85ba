"""What keeps a source from being prepared is said once, and all of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from replication_assets.catalog import EnvVar, Table
from replication_assets.errors import SecretError, SourceNotReady
from replication_assets_tests.e2e.system import System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> System:
    return system_of(database, tmp_path, [Table("app.public.t"), Table("app.public.u")])


def with_source(system: System, **changed: object) -> System:
    source = replace(system.catalog.sources[0], **changed)  # type: ignore[arg-type]
    return replace(system, catalog=replace(system.catalog, sources=(source,)))


def test_a_database_that_is_not_there_is_told_once_for_all_tables(system: System) -> None:
    with pytest.raises(SourceNotReady) as raised:
        with_source(system, database="nowhere").prepare()
    assert str(raised.value).count("does not exist. Fix: check `database`") == 1
    assert str(raised.value).count("Fix:") == 1


def test_of_tables_that_are_not_there_each_is_told(system: System) -> None:
    with pytest.raises(SourceNotReady) as raised:
        system.prepare()
    assert "app.public.t" in str(raised.value)
    assert "app.public.u" in str(raised.value)


def test_a_password_that_is_not_set_says_which_database_needs_it(system: System) -> None:
    with pytest.raises(
        SecretError, match=r"postgresql .*: environment variable NOT_SET_ANYWHERE: is not set"
    ):
        with_source(system, password=EnvVar("NOT_SET_ANYWHERE")).prepare()
