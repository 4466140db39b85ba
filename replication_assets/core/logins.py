"""How the drivers of SQL Server and Oracle are told where a database is and who comes, for reading and for
writing alike. What is returned holds the password: pass it on, never keep it.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

Encrypt: TypeAlias = Literal["yes", "strict", "no"]

_KEEPALIVE_MINUTES = 1


def sqlserver_connection_string(
    host: str,
    port: int,
    database: str,
    user: str,
    password: str,
    *,
    encrypt: Encrypt,
    trust_server_certificate: bool,
    server_certificate: str | None,
) -> str:
    """Of ODBC, each value in braces, so that none can begin another part."""
    parts = {
        "Server": f"tcp:{host},{port}",
        "Database": database,
        "UID": user,
        "PWD": password,
        "Encrypt": encrypt,
        "TrustServerCertificate": "yes" if trust_server_certificate else "no",
        # A session that was lost is not to be opened again unseen: its transaction and locks are gone.
        "ConnectRetryCount": "0",
    }
    if server_certificate is not None:
        parts["ServerCertificate"] = server_certificate
    # The driver takes no empty value.
    given = {name: value for name, value in parts.items() if value}
    return "".join(f"{name}={{{value.replace('}', '}}')}}};" for name, value in given.items())


def oracle_parameters(
    host: str,
    port: int,
    service: str,
    user: str,
    password: str | None,
    *,
    tls: bool,
    wallet: str | None,
    wallet_password: str | None,
    server_name: str | None,
    connect_timeout: int,
) -> dict[str, Any]:
    """Of python-oracledb's `connect`, in thin mode. `connect_timeout` is in seconds."""
    parameters: dict[str, Any] = {
        "user": user,
        "password": password,
        "host": host,
        "port": port,
        "service_name": service,
        "protocol": "tcps" if tls else "tcp",
        "tcp_connect_timeout": float(connect_timeout),
        "expire_time": _KEEPALIVE_MINUTES,
        "program": "replication_assets",
    }
    if tls:
        # Without a name of its own, the certificate is to name the host.
        parameters |= {"ssl_server_dn_match": True, "ssl_server_cert_dn": server_name}
    if wallet is not None:
        parameters["wallet_location"] = wallet
        parameters["wallet_password"] = wallet_password
    return parameters
