"""The adapter for MySQL and MariaDB. `MySqlSource` is a `ports.ChangeSource`."""
