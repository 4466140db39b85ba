"""The command line `replication-assets`: the flows of the project, for people and for scripts.

Owns words, exit codes and what is printed where: results on standard output, progress and messages
on standard error. Holds no SQL and decides nothing about data: commands call flows. What a command
needs is imported when it runs, so that `--help` answers at once.
"""


def main() -> None:
    """The console script."""
    from replication_assets.cli.app import run

    run()
