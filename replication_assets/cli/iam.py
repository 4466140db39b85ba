"""`iam`: the least that AWS must allow for the catalog to work, as policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from replication_assets.cli.options import CatalogOption, open_replication
from replication_assets.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from replication_assets.iam.policy import Document

KeysOption = Annotated[
    list[str] | None,
    typer.Option(
        "--kms-key", metavar="KEY", help="A key of yours that secrets or objects are encrypted with."
    ),
]


def iam(
    account: Annotated[str, typer.Option("--account", metavar="ID", help="Of the resources, 12 digits.")],
    region: Annotated[str, typer.Option("--region", help="Where the catalog names none.")],
    partition: Annotated[
        str, typer.Option("--partition", help="aws, aws-cn, aws-us-gov: checked against the region.")
    ] = "",
    principal: Annotated[
        str, typer.Option("--for", metavar="NAME", help="One policy alone, as AWS takes it: process, say.")
    ] = "",
    kms_key: KeysOption = None,
    msk_cluster: Annotated[
        list[str] | None,
        typer.Option(
            "--msk-cluster", metavar="NAME=ARN", help="Of a Kafka source or projection that uses IAM."
        ),
    ] = None,
    existing: Annotated[
        bool, typer.Option("--existing-tables", help="DynamoDB tables are there: none is made.")
    ] = False,
    dms: Annotated[
        bool, typer.Option("--dms", help="Also roles for AWS DMS to write to the same DynamoDB tables.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="A file for each, instead of printing.")
    ] = None,
    catalog: CatalogOption = "",
) -> None:
    """The least that AWS must allow for the catalog to work, as IAM policies. Nothing is connected to.

    One for each principal: `process` is the role of the program, `projection-NAME` who owns keys
    that the catalog declares, `secrets-operator` who runs `secrets put`.
    """
    from replication_assets.cli.output import show_json
    from replication_assets.iam.catalog_policies import Wanted, catalog_policies
    from replication_assets.iam.dms_roles import dms_policies
    from replication_assets.iam.place import place_of

    place = place_of(account, region, partition)
    declared = open_replication(catalog).catalog
    wanted = Wanted(kms_keys=tuple(kms_key or ()), clusters=_clusters(msk_cluster or []), create=not existing)
    found = catalog_policies(declared, place, wanted)
    if dms:
        found |= dms_policies(declared, place)
    if principal:
        found = {principal: _one(found, principal, dms=dms)}
    if out is not None:
        _write(found, out)
    else:
        show_json(found[principal] if principal else found)


def _clusters(given: Sequence[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    if wrong := [name for name, _, arn in pairs if not (name and arn)]:
        raise CatalogError([f"--msk-cluster {wrong[0]}. Fix: NAME=ARN"], where="command line")
    return {name: arn for name, _, arn in pairs}


def _one(found: Mapping[str, Document], name: str, *, dms: bool) -> Document:
    if name not in found:
        fix = "add --dms" if name.startswith("dms") and not dms else f"one of {', '.join(found)}"
        problem = f"no policy is called {name!r}. Fix: {fix}"
        raise CatalogError([problem], where="command line")
    return found[name]


def _write(found: Mapping[str, Document], folder: Path) -> None:
    import json

    from replication_assets.cli.output import say, things

    folder.mkdir(parents=True, exist_ok=True)
    for name, document in found.items():
        (folder / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    say(f"{things(len(found), 'file')} in {folder}", "bold")
