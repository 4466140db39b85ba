"""Capture of PostgreSQL by triggers, for databases whose log no role may read.

`sql` is what is made in the database, `change_log` makes, follows and removes it, `positions` says in
what order it is read, `stream` and `decoding` read it, `fence` is where a load meets it.
"""
