"""`python -m replication_assets` is the command line `replication-assets`."""

from replication_assets.cli import main

if __name__ == "__main__":
    main()
