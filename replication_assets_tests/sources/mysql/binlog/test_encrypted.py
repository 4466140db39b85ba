"""Binlogs that are encrypted on disk, read over an encrypted connection."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from replication_assets.sources.mysql.connection import connected
from replication_assets_tests.mysql_servers import BINLOG_SETTINGS, running_mariadb
from replication_assets_tests.sources.mysql.binlog.captured import watch
from replication_assets_tests.sources.mysql.conftest import Database


@pytest.fixture
def encrypting() -> Iterator[Database]:
    # pytest's own directories are closed to the account that a server of root runs under.
    with TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o755)
        (home / "keys").write_text(f"1;{'5a' * 16}\n")
        certificate(home)
        settings = {
            **BINLOG_SETTINGS,
            "plugin-load-add": "file_key_management",
            "file-key-management-filename": str(home / "keys"),
            "encrypt-binlog": "ON",
            "ssl-cert": str(home / "cert.pem"),
            "ssl-key": str(home / "key.pem"),
        }
        for file in home.iterdir():
            file.chmod(0o644)
        with running_mariadb(settings) as server:
            with closing(server.connect(ssl=ssl._create_unverified_context())) as session:
                session.query("CREATE DATABASE shop")
            yield Database(server, "shop")


def certificate(home: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (home / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (home / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def test_encrypted_files_are_read_over_an_encrypted_connection(encrypting: Database) -> None:
    encrypting.run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(200))")
    watched = watch(encrypting)
    with connected(watched.source.connection) as session:
        assert (session.row("SHOW STATUS LIKE 'Ssl_cipher'") or ("", ""))[1]
    encrypting.run(
        "INSERT INTO t SELECT seq, REPEAT('x', 200) FROM seq_1_to_30000",
        "FLUSH BINARY LOGS",
        "UPDATE t SET v = 'y' WHERE id = 1",
    )
    found = watched.read()
    assert found.operations() == "I" * 30_000 + "U"
    assert watched.read().rows() == []
