"""Capture of MySQL and MariaDB from the binary log."""
