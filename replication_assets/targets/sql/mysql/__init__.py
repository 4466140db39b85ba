"""MySQL and MariaDB as environments of masked copies."""
