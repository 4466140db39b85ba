"""The Dagster layer: assets, partitions, sensors and jobs over the flows, and nothing else."""
