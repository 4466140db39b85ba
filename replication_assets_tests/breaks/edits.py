"""One edit for each promise of docs/guarantees.md, and the test that must fail because of it.

A test that passes whatever the program does proves nothing. `make breaks` makes each edit in a copy
of the repository, runs its test there, and says which edits went unnoticed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """`old` is found exactly once in `file` (below `replication_assets/`) and replaced by `new`.
    `test` is what pytest is given, below `replication_assets_tests/`; `chosen` narrows it (`-k`)."""

    name: str
    file: str
    old: str
    new: str
    test: str
    chosen: str = ""
    full: bool = False


EDITS = (
    Edit(
        "the source is told before the ledger is durable",
        "flows/capture.py",
        "        self.ledger.record(CaptureMark(",
        "        stream.acknowledge(self.boundary)\n        self.ledger.record(CaptureMark(",
        "faults/test_killed_steps.py",
        "capture and file_finished",
        full=True,
    ),
    Edit(
        "events that a table's own checkpoint covers are written again",
        "flows/capture.py",
        "    return rows.filter(newer)",
        "    return rows",
        "faults/test_killed_steps.py",
        "capture and table_committed",
        full=True,
    ),
    Edit(
        "a slot that somebody else consumed is read on from",
        "sources/postgres/stream.py",
        "elif (confirmed := parse_lsn(slot.confirmed)) <= after + 1:",
        "elif (confirmed := parse_lsn(slot.confirmed)) >= 0:",
        "faults/test_slots.py",
    ),
    Edit(
        "a load says a position that its snapshot does not have",
        "sources/postgres/load.py",
        "PostgresLoad(snapshot.commit, taken_at",
        "PostgresLoad(snapshot.commit + 100_000, taken_at",
        "e2e/test_handoff.py",
    ),
    Edit(
        "a commit whose reply was lost is taken for none",
        "event_store/commit.py",
        "entry.get(TOKEN) == token",
        "entry.get(TOKEN) is token",
        "faults/test_lost_replies.py",
        "log_ledger_or_lakehouse",
        full=True,
    ),
    Edit(
        "the oldest event of a key wins",
        "core/winners.py",
        "arg_max({number}, {order})",
        "arg_min({number}, {order})",
        "core/test_fold.py",
    ),
    Edit(
        "a compaction loses a row",
        "event_store/compaction.py",
        "writer.write(rows.cast(kept))",
        "writer.write(rows.cast(kept).slice(1))",
        "event_store/test_store.py",
        "compaction",
    ),
    Edit(
        "DynamoDB takes whatever comes",
        "targets/dynamodb/range_writer.py",
        '"attribute_not_exists(#p) OR #p < :p"',
        '"attribute_not_exists(#p) OR #p < :p OR attribute_exists(#p)"',
        "targets/dynamodb/test_disorder.py",
    ),
    Edit(
        "a row that a declared condition stopped counts as late",
        "targets/dynamodb/guarding.py",
        "    if old is None or POSITION not in old:\n        return True",
        "    if old is None or POSITION not in old:\n        return False",
        "targets/dynamodb/test_conditions.py",
        "leaves_what_the_condition_protects",
    ),
    Edit(
        "a deleted row takes a service's own item with it",
        "targets/dynamodb/guarding.py",
        '"attribute_not_exists(#k) OR attribute_exists(#p)"',
        '"attribute_exists(#k) OR attribute_exists(#p)"',
        "targets/dynamodb/test_conditions.py",
        "never_takes_an_item",
    ),
    Edit(
        "a range of a lakehouse is committed over what another projection did",
        "targets/delta/commit.py",
        "        if registers != change.expected:\n            raise moved(location, change.id_range)",
        '        object.__setattr__(change, "expected", registers)',
        "targets/test_delta.py",
    ),
    Edit(
        "the checkpoint of a table is committed before its rows",
        "targets/sql/projection/target.py",
        "            with session.writing():\n                book = self._books.locked(session, id_range)\n"
        "                reached = self._require_filled(session, id_range, book, baseline)\n"
        "                if position <= reached.position:",
        "            with session.writing():\n                book = self._books.locked(session, id_range)\n"
        "                reached = self._require_filled(session, id_range, book, baseline)\n"
        "                moved = RangeCheckpoint(baseline, position, reached.rows)\n"
        "                self._books.move(session, id_range, moved)\n"
        "            with session.writing():\n"
        "                if position <= reached.position:",
        "targets/sql/projection/test_faults.py",
        "killed and apply",
    ),
    Edit(
        "changes that a table has already had are applied again",
        "targets/sql/projection/target.py",
        "after(rows, reached.position) for rows in",
        "rows for rows in",
        "targets/sql/projection/test_faults.py",
        "late_and_repeated",
    ),
    Edit(
        "keys at a bound belong to the range below",
        "core/id_ranges.py",
        'found = np.searchsorted(bounds, keys, side="right")',
        'found = np.searchsorted(bounds, keys, side="left")',
        "core/test_id_ranges.py",
    ),
    Edit(
        "a secret prints",
        "secret_references.py",
        '    def __repr__(self) -> str:\n        return "***"',
        "    def __repr__(self) -> str:\n        return self._value",
        "test_secret_references.py",
    ),
    Edit(
        "names go into paths as they are",
        "core/schema.py",
        'quote(name, safe="")',
        "name",
        "faults/test_hostile_names.py",
    ),
    Edit(
        "changes of triggers are read by their ids alone (MariaDB)",
        "sources/mysql/triggers/stream.py",
        'f"{before.hides()} AND {reached.shows()}"',
        'f"id > {before.id} AND {reached.shows()}"',
        "sources/mysql/triggers/test_order.py",
        "first_id",
    ),
    Edit(
        "an altered table fails its writers (MariaDB)",
        "sources/mysql/triggers/sql.py",
        '_UNFIT = "1054, 1264,',
        '_UNFIT = "1264,',
        "sources/mysql/triggers/test_tables.py",
        "no_writer_fails",
    ),
    Edit(
        "a transaction that committed late stands before the fence (PostgreSQL)",
        "sources/postgres/triggers/positions.py",
        "max(f.id) + 1",
        "max(f.id) - 1",
        "sources/postgres/test_triggers.py",
        "first_id",
    ),
    Edit(
        "a load of MySQL says a place of the binlog that its snapshot does not have",
        "sources/mysql/load.py",
        "MySqlLoad(snapshot.commit, taken_at",
        "MySqlLoad(snapshot.commit + 100_000, taken_at",
        "sources/mysql/binlog/test_handoff.py",
        "under_writers",
    ),
    Edit(
        "compressed rows of a binlog are passed over",
        "sources/mysql/binlog/row_header.py",
        "return inflate(event[end:]) if compressed else event[end:]",
        'return b"" if compressed else event[end:]',
        "sources/mysql/binlog/test_stream.py",
        "compressed",
    ),
    Edit(
        "an unsigned number of MySQL is read with a sign",
        "sources/mysql/binlog/number_values.py",
        "    if column.unsigned:",
        "    if not column.unsigned:",
        "sources/mysql/binlog/test_both_ways.py",
        "every_type",
    ),
    Edit(
        "a binlog that was begun anew is read on",
        "sources/mysql/retention.py",
        "    if found == birth:",
        "    if found >= birth:",
        "sources/mysql/binlog/test_lost_log.py",
        "begun_anew",
    ),
    Edit(
        "a table that captures left out comes back without a word",
        "flows/capture_gaps.py",
        "    return not told and any(position <= through for position in loads)",
        "    return told and any(position <= through for position in loads)",
        "sources/mysql/binlog/test_lost_log.py",
        "left_out",
    ),
    Edit(
        "an answer of MySQL that was lost is waited for",
        "sources/mysql/silence.py",
        "        if waits == 2:",
        "        if waits == 2_000_000:",
        "faults/test_network_of_mysql.py",
        "row and freeze",
    ),
    Edit(
        "what stands of a step after a crash is sent to the topic again",
        "flows/publish.py",
        "made = self.sender.send(snapshot, step, stands)",
        "made = self.sender.send(snapshot, step, Standing())",
        "e2e/test_topics.py",
        "killed_four_times",
    ),
    Edit(
        "a record goes to Kinesis while an earlier one of its key may be refused",
        "targets/kinesis/key_order.py",
        "            if before is None:\n",
        "            if key is not None:\n",
        "targets/kinesis/test_topic.py",
        "refused_one_by_one",
    ),
    Edit(
        "what stands of a step in a stream is looked up again by every publisher",
        "flows/publish.py",
        "            if self.topic.forgets and not step.is_mark:\n",
        "            if not self.topic.forgets and not step.is_mark:\n",
        "e2e/test_streams.py",
        "starts_anew",
    ),
    Edit(
        "rows that a restart of DMS wrote again are stored twice",
        "core/landed/repeats.py",
        "        if run <= len(new) and np.array_equal(known[at:], new[:run]):\n            return run",
        "        if run <= len(new) and np.array_equal(known[at:], new[:run]):\n            return 0",
        "sources/landed/test_source.py",
        "restart_of_dms",
    ),
    Edit(
        "a late file undoes newer changes",
        "sources/landed/decoding.py",
        "            if delivery.later.get(rows.table):",
        "            if not delivery.later:",
        "sources/landed/test_source.py",
        "late_file_is_read",
    ),
    Edit(
        "a task of DMS that stopped before its end is taken for complete",
        "core/dms_tasks.py",
        'return self.status == "stopped" and self.stop_reason in COMPLETE',
        'return self.status == "stopped"',
        "sources/dms_task/test_task.py",
        "stops_before_its_end",
    ),
    Edit(
        "a row that an update moves out of its table's filter stays",
        "core/changes.py",
        "out = changes.upserts.filter(pc.invert(passes)).select(deletes.schema.names)",
        "out = changes.upserts.slice(0, 0).select(deletes.schema.names)",
        "core/test_changes.py",
        "filter",
    ),
    Edit(
        "a value that its column cannot hold is null",
        "core/shapes.py",
        "        if not misfits:\n            return Shaped(",
        "        if True:\n            return Shaped(",
        "e2e/test_shapes.py",
        "do_not_have_the_types",
    ),
)
