"""One vault for all attempts, and an environment of its own for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replication_assets.demo.postgres_server import PostgresServer
from replication_assets_tests.adversarial.vault import Attack, Vault, attack_on, canaries_in, vault_in
from replication_assets_tests.postgres_servers import fresh_database


@pytest.fixture(scope="session")
def vault(postgres_18: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with fresh_database(postgres_18) as database:
        yield vault_in(database, tmp_path_factory.mktemp("vault"))


@pytest.fixture
def attack(vault: Vault, caplog: pytest.LogCaptureFixture) -> Iterator[Attack]:
    """Whatever a test did: nothing raw is in its environment, its staging, its audit or the logs."""
    for each in attack_on(vault):
        yield each
        each.require_nothing_raw()
        assert canaries_in(caplog.text) == []
