"""`secrets put` and `secrets check`: credentials stored by prompt, and references that resolve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from replication_assets.cli import exits
from replication_assets.cli.options import CatalogOption, JsonOption, open_replication
from replication_assets.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replication_assets.declarations.references import DeclaredReference
    from replication_assets.errors import SecretError
    from replication_assets.secret_storing import StoredReference

Service = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="secrets-manager|ssm",
        help="Where a name goes that no catalog declares; no catalog is opened then.",
    ),
]


def put(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The secret or parameter, as it is declared.")],
    field: Annotated[
        str, typer.Option("--field", metavar="MEMBER", help="The member of a JSON secret.")
    ] = "",
    rotate: Annotated[bool, typer.Option("--rotate", help="Replace the value that stands there.")] = False,
    kms_key: Annotated[
        str, typer.Option("--kms-key", metavar="KEY", help="Encrypt with this key, not the account's own.")
    ] = "",
    beside: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="MEMBER=VALUE",
            help="Another member of the JSON secret, itself no secret: a user.",
        ),
    ] = None,
    to: Service = "",
    region: Annotated[str, typer.Option("--region", help="With --to, or where two regions have it.")] = "",
    endpoint_url: Annotated[str, typer.Option("--endpoint-url", metavar="URL", help="With --to.")] = "",
    catalog: CatalogOption = "",
) -> None:
    """Store a credential that the catalog declares by reference, in Secrets Manager or SSM.

    The value is asked for twice and never shown; where standard input is no terminal it is read
    from there, without its last line end. It is read back through the reference in the end.
    """
    from replication_assets.cli.output import say
    from replication_assets.cli.secrets_input import read_value
    from replication_assets.secret_storing import Storing, store

    if to:
        reference = _named(name, field, to, region, endpoint_url)
    else:
        reference = _declared(catalog, name, field, region)
    storing = Storing(rotate=rotate, kms_key=kms_key or None, beside=_members(beside or []))
    outcome = store(reference, read_value(str(reference)), storing)
    say(f"{outcome}: {reference}; it resolves", "bold")


def _members(given: Sequence[str]) -> dict[str, str]:
    """Raises CatalogError for what looks like a secret: it would be in the shell's history."""
    import re

    members: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not (name and equals):
            # Not quoted: it may be a value.
            raise CatalogError(["--with takes MEMBER=VALUE. Fix: --with username=dms"], where="command line")
        if re.search("pass|pwd|secret|token|key|credential", name, re.IGNORECASE):
            problem = (
                f"--with {name}=... would be in your shell's history. Fix: --field {name}, and the prompt"
            )
            raise CatalogError([problem], where="command line")
        members[name] = value
    return members


def _named(name: str, field: str, to: str, region: str, endpoint_url: str) -> StoredReference:
    from replication_assets.secret_references import SecretsManager, SsmParameter

    if to == "secrets-manager":
        return SecretsManager(name, field or None, region or None, endpoint_url or None)
    if to == "ssm" and not field:
        return SsmParameter(name, region or None, endpoint_url or None)
    problem = "a parameter has no members. Fix: drop --field" if to == "ssm" else f"--to {to} is not known"
    raise CatalogError([f"{problem}; --to secrets-manager or ssm"], where="command line")


def _declared(catalog: str, name: str, field: str, region: str) -> StoredReference:
    """The one reference of the catalog that is called so."""
    from replication_assets.declarations.references import declared_references
    from replication_assets.secret_references import EnvVar

    declared = declared_references(open_replication(catalog).catalog)
    references = list(dict.fromkeys(each.reference for each in declared))
    found: list[StoredReference] = []
    for each in references:
        if isinstance(each, EnvVar):
            if each.name == name:
                problem = f"{each} is set for the process that uses it, and stored nowhere"
                fix = "declare SecretsManager(...) or SsmParameter(...) to have it stored"
                raise CatalogError([f"{problem}. Fix: {fix}"], where="command line")
        elif (
            name == _name(each)
            and field in ("", getattr(each, "field", None) or "")
            and region in ("", each.region)
        ):
            found.append(each)
    if len(found) == 1:
        return found[0]
    known = [each for each in references if not isinstance(each, EnvVar)]
    raise CatalogError([_not_one(name, found, known)], where="command line")


def _name(reference: StoredReference) -> str:
    from replication_assets.secret_references import SecretsManager

    return reference.secret_id if isinstance(reference, SecretsManager) else reference.name


def _not_one(name: str, found: Sequence[StoredReference], known: Sequence[StoredReference]) -> str:
    if found:
        which = " or ".join(f"{each} ({each.region or 'region of the process'})" for each in found)
        return f"{name!r} is declared {len(found)} times: {which}. Fix: --field or --region"
    listed = ", ".join(sorted({_name(each) for each in known})) or "none is declared"
    return (
        f"the catalog refers to no secret or parameter {name!r} of this kind. Fix: one of {listed}; "
        "or --to secrets-manager for a name that no catalog declares"
    )


def check(as_json: JsonOption = False, catalog: CatalogOption = "") -> None:
    """Does every credential that the catalog refers to resolve, here and now?

    Each is read and thrown away: no value, and nothing of its length or form, is shown. Ends with 3
    if one is missing.
    """
    from replication_assets.cli.output import Heading, say, show_json, show_table, things
    from replication_assets.declarations.references import declared_references

    declared = declared_references(open_replication(catalog).catalog)
    problems = {reference: _problem(reference) for reference in {each.reference for each in declared}}
    missing = sum(problem is not None for problem in problems.values())
    if as_json:
        show_json(
            {"missing": missing, "references": [_entry(each, problems[each.reference]) for each in declared]}
        )
    else:
        entries = [_entry(each, problems[each.reference]) for each in declared]
        show_table(
            [Heading("state"), Heading("declared at"), Heading("reference"), Heading("problem")],
            [
                (
                    "ok" if each["ok"] else "MISSING",
                    each["declared_at"],
                    each["reference"],
                    ". Fix: ".join(filter(None, (each["problem"], each["fix"]))),
                )
                for each in entries
            ],
            names=2,
        )
        say(f"{things(len(problems), 'credential')}, {missing} missing", "bold red" if missing else "bold")
    raise typer.Exit(exits.FOUND if missing else exits.OK)


def _problem(reference: Any) -> SecretError | None:
    from replication_assets.errors import SecretError
    from replication_assets.secret_references import resolve

    try:
        resolve(reference)
    except SecretError as error:
        return error
    return None


def _entry(declared: DeclaredReference, problem: SecretError | None) -> dict[str, Any]:
    return {
        "ok": problem is None,
        "declared_at": declared.where,
        "reference": str(declared.reference),
        "problem": problem.what if problem else "",
        "fix": problem.fix if problem else "",
    }


def group() -> typer.Typer:
    """The commands under `secrets`, each with its example."""
    commands = typer.Typer(no_args_is_help=True, help="Credentials: stored by prompt, checked, never shown.")
    for command, example in (
        (put, "put shop/db --field password --with username=replicator"),
        (check, "check --json"),
    ):
        commands.command(epilog=f"Example: replication-assets secrets {example}")(command)
    return commands
