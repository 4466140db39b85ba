"""What the promises of docs/guarantees.md are held against: processes killed, networks cut, disks full."""
