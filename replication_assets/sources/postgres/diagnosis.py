"""Why a connection failed, and what mends it, from the words of libpq and the server.

libpq gives no code for a connection that fails: its text is all there is. The texts are those of
libpq and psycopg 3, and of servers with English messages; others are passed on without a fix.
Outermost first: name, port, TLS, login, database.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from replication_assets.sources.postgres.quoting import identifier


@dataclass(frozen=True, slots=True)
class _Cause:
    """`fix` may hold `{}` for the first name that the message quotes. `lasting`: a retry is vain."""

    words: re.Pattern[str]
    fix: str
    lasting: bool


def _cause(words: str, fix: str, *, lasting: bool = True) -> _Cause:
    return _Cause(re.compile(words, re.IGNORECASE), fix, lasting)


_CAUSES = (
    _cause(
        "resolve host|translate host name|name or service not known|nodename nor servname",
        "the name is unknown to DNS here: check `host`, and the network or VPN of this machine",
        lasting=False,
    ),
    _cause(
        "connection refused",
        "nothing listens there: check `host` and `port`, that the server runs, and its listen_addresses",
        lasting=False,
    ),
    _cause(
        "timeout expired|timed out|no route to host|network is unreachable",
        "nothing answers: a firewall or security group drops the packets, or the host is down; "
        "let this machine reach the port",
        lasting=False,
    ),
    _cause(
        "does not support SSL",
        'the server has no TLS: set ssl = on there, or declare sslmode="disable" for a trusted network',
    ),
    _cause(
        "does not match host name",
        'the certificate is for another name: use that name as `host`, or sslmode="verify-ca"',
    ),
    _cause(
        "certificate", "the server's certificate is not trusted here: give its authority as `sslrootcert`"
    ),
    _cause(
        "SSL negotiation|SSL error", "what answers there speaks no TLS of PostgreSQL: check `host` and `port`"
    ),
    _cause(
        "password authentication failed",
        "check `user`, and the password that its reference points at",
    ),
    _cause(
        "no password supplied",
        "the server wants a password: declare it by reference, as password=EnvVar(...)",
    ),
    _cause(
        r'role "[^"]*" does not exist',
        "check `user`, or create it: CREATE ROLE {} LOGIN REPLICATION PASSWORD ...",
    ),
    _cause("not permitted to log in", "ALTER ROLE {} LOGIN"),
    _cause(
        "no pg_hba.conf entry",
        "let this host, user and database in: a line in pg_hba.conf, then SELECT pg_reload_conf()",
    ),
    _cause(r'database "[^"]*" does not exist', "check `database` (case counts)"),
    _cause("permission denied for database", "GRANT CONNECT ON DATABASE {} TO the role"),
    _cause(
        "too many connections|too many clients|connection slots",
        "close idle sessions, or raise max_connections",
        lasting=False,
    ),
    _cause(
        "starting up|shutting down|recovery mode",
        "wait until the server is up, then run again",
        lasting=False,
    ),
)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What mends a failed connection, and whether it stays failed until somebody does."""

    fix: str
    lasting: bool


def diagnose(message: str) -> Diagnosis | None:
    """None where the words are not known."""
    for cause in _CAUSES:
        if cause.words.search(message):
            return Diagnosis(cause.fix.format(_quoted(message)), cause.lasting)
    return None


def _quoted(message: str) -> str:
    """The first name in quotes after the address, which libpq quotes too."""
    found: list[str] = re.findall(r'"([^"]*)"', message.rpartition("FATAL:")[2])
    return identifier(found[0]) if found else "it"
