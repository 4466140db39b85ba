"""Capture by triggers, for servers whose binlog is off, not by rows, or closed to us.

`sql` is what is made in the server, `change_log` makes, follows and removes it, `fences` says in what
order it is read, `stream` and `decoding` read it, `meeting` is where a load meets it.
"""
