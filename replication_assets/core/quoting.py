"""Names and constants as servers write them, for statements that take no parameters: whatever a name or a
text is made of, it stays one.

Here for engines that are read from and written to by adapters of their own, so that an escape is one rule.
"""

from __future__ import annotations

ORACLE_NAME_BYTES = 128
"""Of a name in Oracle since 12.2; 30 before, which the server itself tells."""


def constant(text: str) -> str:
    """A string constant where a backslash is a character like any other: of standard SQL, and of MySQL under
    NO_BACKSLASH_ESCAPES."""
    return "'" + text.replace("'", "''") + "'"


def unicode_constant(text: str) -> str:
    """Of SQL Server: without the N it would go through the code page of the database."""
    return "N" + constant(text)


def bracketed(*names: str) -> str:
    """Identifiers of SQL Server joined by dots. Brackets hold under every setting of QUOTED_IDENTIFIER."""
    return ".".join("[" + name.replace("]", "]]") + "]" for name in names)


def backticked(*names: str) -> str:
    """Identifiers of MySQL joined by dots."""
    return ".".join("`" + name.replace("`", "``") + "`" for name in names)


def double_quoted(*names: str) -> str:
    """Identifiers of Oracle joined by dots. Those that `oracle_name_problem` refuses cannot be written."""
    return ".".join(f'"{name}"' for name in names)


def oracle_name_problem(names: tuple[str, ...]) -> str | None:
    """Why one of these is the name of nothing in Oracle, which allows any character in a quoted name but the
    quote itself and NUL."""
    for name in names:
        size = len(name.encode(errors="surrogatepass"))
        if not 0 < size <= ORACLE_NAME_BYTES or '"' in name or "\0" in name:
            limit = f"1 to {ORACLE_NAME_BYTES} bytes"
            return f"{name[:40]!r} is no name of Oracle: {limit} without a double quote"
    return None
