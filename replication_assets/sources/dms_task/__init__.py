"""Replication tasks of AWS DMS, by boto3. See `ports.dms_tasks`."""
