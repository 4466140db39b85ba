"""What every environment target promises, as tests that each engine runs.

A subclass provides the fixture `place`: an empty database that nobody marked, targets over it, and the
eyes of a reader on a connection of its own. Batches are sealed by the guard's own code; what is stored is
asked for, never what was called.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replication_assets.core.masking.batches import RawBatch
from replication_assets.core.masking.seal import seal
from replication_assets.core.schema import TableId
from replication_assets.core.structure import OwnedSequence, UniqueKey
from replication_assets.errors import GuardError, RefreshError, RefreshInProgress, VerificationFailed
from replication_assets.ports.environment import TableCopy, Violation
from replication_assets.targets.sql.target import SqlEnvironment
from replication_assets_tests.contracts.environment_copies import (
    BOSS,
    CUSTOMER,
    FORGERIES,
    ORDER,
    OTHER_KEYS,
    TEAM,
    VALUE_ROWS,
    VALUES,
    EnvironmentPlace,
    Forgery,
    copy_of,
    knotted,
    marker_of,
)
from replication_assets_tests.targets.sql.masked_copies import (
    AT,
    KEYS,
    Refresh,
    batch,
    copied,
    read,
    structure,
)


class EnvironmentTargetContract:
    negative_zero = True
    """Whether the engine tells it from zero. One that does not refuses it."""

    @pytest.fixture
    def place(self) -> EnvironmentPlace:
        raise NotImplementedError

    @pytest.fixture
    def target(self, place: EnvironmentPlace) -> SqlEnvironment:
        """Marked."""
        target = place.target()
        target.mark(marker_of(KEYS))
        return target

    # --- the marker ----------------------------------------------------------------------

    def test_a_database_without_marker_is_refused(self, place: EnvironmentPlace) -> None:
        target = place.target()
        assert target.marker() is None
        refresh = Refresh(target, [CUSTOMER])
        for act in (
            lambda: target.begin(refresh.plan, [CUSTOMER]),
            lambda: refresh.load(CUSTOMER, batch(CUSTOMER, (1, "a@masked.invalid"))),
            target.published,
            target.drop,
            lambda: target.grant([]),
            lambda: list(target.read(CUSTOMER, None)),
            lambda: list(target.texts(None)),
            lambda: target.held("nightly", "run").__enter__(),
        ):
            with pytest.raises(GuardError, match="does not say which environment"):
                act()
        assert place.ids("shop", "customer") == []

    def test_a_database_of_another_environment_is_refused(
        self, place: EnvironmentPlace, target: SqlEnvironment
    ) -> None:
        copy_of(place, 1)
        for environment, trust in (("dev", "nonproduction"), ("qa", "production")):
            other = place.target(environment, trust)
            with pytest.raises(GuardError, match="says that it is 'qa'"):
                other.drop()
            claimed = dataclasses.replace(marker_of(KEYS), environment=environment, trust=trust)
            with pytest.raises(GuardError, match="says that it is 'qa'"):
                other.mark(claimed, confirm=True)
        assert place.ids("shop", "customer") == [1]
        assert target.marker() == marker_of(KEYS)

    def test_a_plan_for_another_environment_or_key_is_refused(self, target: SqlEnvironment) -> None:
        plan = Refresh(target, [CUSTOMER]).plan
        for wrong in ({"environment": "dev"}, {"key_id": "0" * 16}):
            with pytest.raises(GuardError, match="the plan is for the"):
                target.begin(dataclasses.replace(plan, **wrong), [CUSTOMER])  # type: ignore[arg-type]

    def test_a_marker_stays_and_another_key_is_to_be_confirmed(
        self, place: EnvironmentPlace, target: SqlEnvironment
    ) -> None:
        later = dataclasses.replace(marker_of(KEYS), made_at=AT + dt.timedelta(days=1))
        target.mark(later)
        assert target.marker() == marker_of(KEYS)
        with pytest.raises(GuardError, match="another key"):
            target.mark(marker_of(OTHER_KEYS))
        assert target.marker() == marker_of(KEYS)
        target.mark(marker_of(OTHER_KEYS), confirm=True)
        assert place.target().marker() == marker_of(OTHER_KEYS)

    def test_a_database_with_tables_of_somebody_is_marked_when_confirmed(
        self, place: EnvironmentPlace
    ) -> None:
        place.strange_table()
        with pytest.raises(GuardError, match="strange"):
            place.target().mark(marker_of(KEYS))
        assert place.target().marker() is None
        place.target().mark(marker_of(KEYS), confirm=True)
        assert place.target().marker() == marker_of(KEYS)

    # --- the seal ------------------------------------------------------------------------

    @pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
    def test_what_the_guard_did_not_seal_for_this_is_refused_and_not_stored(
        self, place: EnvironmentPlace, target: SqlEnvironment, forgery: Forgery
    ) -> None:
        refresh = Refresh(target, [CUSTOMER]).begin()
        sealed = refresh.sealed(CUSTOMER, batch(CUSTOMER, (1, "a@masked.invalid")))
        with pytest.raises(GuardError):
            target.load(refresh.plan, CUSTOMER, forgery(refresh, sealed))
        assert target.loaded(refresh.plan) == {}
        assert refresh.rows(CUSTOMER).num_rows == 0

    def test_raw_and_plain_rows_are_refused(self, target: SqlEnvironment) -> None:
        refresh = Refresh(target, [CUSTOMER]).begin()
        rows = batch(CUSTOMER, (1, "raw@example.com"))
        claims = refresh.sealed(CUSTOMER, rows).certificate.claims
        for raw in (rows, RawBatch(rows)):
            with pytest.raises(GuardError):
                seal(raw, claims, KEYS, checksum=0, counts={})  # type: ignore[arg-type]
            with pytest.raises((GuardError, AttributeError)):
                target.load(refresh.plan, CUSTOMER, raw)  # type: ignore[arg-type]
        assert refresh.rows(CUSTOMER).num_rows == 0

    def test_sealed_rows_with_other_columns_are_refused(self, target: SqlEnvironment) -> None:
        wide = copied(CUSTOMER.structure, id=pa.int64(), email=pa.string(), raw=pa.string())
        refresh = Refresh(target, [CUSTOMER]).begin()
        sealed = refresh.sealed(CUSTOMER, batch(wide, (1, "a", "b")))
        with pytest.raises(GuardError, match="columns"):
            target.load(refresh.plan, CUSTOMER, sealed)
        assert refresh.rows(CUSTOMER).num_rows == 0

    def test_a_structure_that_was_not_planned_is_refused(self, target: SqlEnvironment) -> None:
        refresh = Refresh(target, [CUSTOMER]).begin()
        drifted = TableCopy(
            structure("customer", {"id": "bigint not null", "email": "varchar"}), CUSTOMER.schema
        )
        with pytest.raises(GuardError, match="structure"):
            target.load(refresh.plan, drifted, refresh.sealed(CUSTOMER, batch(CUSTOMER, (1, "a"))))

    # --- loads ---------------------------------------------------------------------------

    def test_a_chunk_that_is_loaded_twice_is_there_once(self, target: SqlEnvironment) -> None:
        refresh = Refresh(target, [CUSTOMER]).begin()
        rows = batch(CUSTOMER, (1, "a"), (2, "b"))
        assert refresh.load(CUSTOMER, rows) == refresh.load(CUSTOMER, rows) == 2
        assert refresh.rows(CUSTOMER)["id"].to_pylist() == [1, 2]

    def test_a_load_that_stopped_goes_on_at_its_chunk(
        self, place: EnvironmentPlace, target: SqlEnvironment
    ) -> None:
        refresh = Refresh(target, [CUSTOMER, ORDER]).begin()
        refresh.load(CUSTOMER, batch(CUSTOMER, (1, "a")), "r.0")
        refresh.load(CUSTOMER, batch(CUSTOMER, (2, "b"), (3, "c")), "r.1", "generated")
        refresh.target = place.target()
        refresh.begin()
        assert refresh.target.loaded(refresh.plan) == {
            ("crm.shop.customer", "rows", "r.0"): 1,
            ("crm.shop.customer", "generated", "r.1"): 2,
        }
        refresh.load(ORDER, batch(ORDER, (7, 1)))
        assert refresh.rows(CUSTOMER)["id"].to_pylist() == [1, 2, 3]
        refresh.finish().publish()
        assert place.ids("shop", "orders") == [7]

    def test_a_discarded_shadow_is_gone_and_that_of_another_plan_stays(self, target: SqlEnvironment) -> None:
        refresh = Refresh(target, [CUSTOMER]).begin()
        refresh.load(CUSTOMER, batch(CUSTOMER, (1, "a")))
        target.discard(Refresh(target, [CUSTOMER]).plan)
        assert refresh.rows(CUSTOMER).num_rows == 1
        target.discard(refresh.plan)
        target.discard(refresh.plan)
        assert target.loaded(refresh.plan) == {}
        with pytest.raises(RefreshError):
            refresh.rows(CUSTOMER)
        assert refresh.begin().rows(CUSTOMER).num_rows == 0

    def test_another_plan_supersedes_what_was_left(self, target: SqlEnvironment) -> None:
        first = Refresh(target, [CUSTOMER]).begin()
        first.load(CUSTOMER, batch(CUSTOMER, (1, "a")))
        second = Refresh(target, [CUSTOMER]).begin()
        assert target.loaded(second.plan) == {}
        assert second.rows(CUSTOMER).num_rows == 0
        with pytest.raises(RefreshError):
            first.load(CUSTOMER, batch(CUSTOMER, (2, "b")), "r.1")
        assert second.rows(CUSTOMER).num_rows == 0

    def test_rows_without_a_required_value_are_refused_and_their_chunk_is_not_noted(
        self, target: SqlEnvironment
    ) -> None:
        strict = copied(
            structure("strict", {"id": "bigint not null", "email": "text not null"}),
            id=pa.int64(),
            email=pa.string(),
        )
        refresh = Refresh(target, [strict]).begin()
        with pytest.raises(RefreshError) as raised:
            refresh.load(strict, batch(strict, (1, "secret@example.com"), (2, None)))
        assert "secret" not in str(raised.value)
        assert target.loaded(refresh.plan) == {}
        assert refresh.rows(strict).num_rows == 0

    # Every engine runs it by a class of its own.
    @settings(
        max_examples=15,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(data=st.data())
    def test_values_come_back_as_they_went_in(self, target: SqlEnvironment, data: st.DataObject) -> None:
        rows = data.draw(st.lists(VALUE_ROWS, min_size=1, max_size=8))
        if not self.negative_zero:
            rows = [tuple(each + 0.0 if isinstance(each, float) else each for each in row) for row in rows]
        refresh = Refresh(target, [VALUES]).begin()
        loaded = batch(VALUES, *((at, *each) for at, each in enumerate(rows)))
        refresh.load(VALUES, loaded)
        assert refresh.rows(VALUES).equals(pa.Table.from_batches([loaded]))

    # --- keys and publication ------------------------------------------------------------

    def test_keys_of_circles_themselves_and_several_columns_hold(
        self, place: EnvironmentPlace, target: SqlEnvironment
    ) -> None:
        refresh = knotted(target)
        refresh.load(BOSS, batch(BOSS, (1, None, 2, 20), (2, 1, None, None), (3, 3, None, None)))
        refresh.load(TEAM, batch(TEAM, (2, 20, 1), (4, 40, None)))
        assert target.violations(refresh.plan, refresh.tables) == ()
        refresh.finish().finish().publish()
        assert place.ids("shop", "boss") == [1, 2, 3]
        assert read(target, TEAM)["id"].to_pylist() == [2, 4]

    def test_rows_that_refer_to_nothing_are_counted(self, target: SqlEnvironment) -> None:
        refresh = knotted(target)
        refresh.load(BOSS, batch(BOSS, (1, 8, None, None), (2, 9, 2, 21), (3, 1, 2, None)))
        refresh.load(TEAM, batch(TEAM, (2, 20, 5)))
        found = {(each.foreign_key, each.rows) for each in target.violations(refresh.plan, refresh.tables)}
        assert found == {("boss_boss", 2), ("boss_team", 1), ("team_boss", 1)}
        assert Violation(TEAM.structure.table, "team_boss", 1) in target.violations(
            refresh.plan, refresh.tables
        )

    def test_rows_that_break_a_key_are_counted_and_not_quoted(
        self, place: EnvironmentPlace, target: SqlEnvironment
    ) -> None:
        refresh = Refresh(target, [CUSTOMER]).begin()
        refresh.load(CUSTOMER, batch(CUSTOMER, (4711, "a"), (4711, "b"), (1, "c")))
        with pytest.raises(VerificationFailed, match="customer") as raised:
            refresh.finish()
        assert "4711" not in str(raised.value)
        assert raised.value.__suppress_context__ or raised.value.__context__ is None
        assert place.ids("shop", "customer") == []

    def test_sequences_go_on_beyond_the_rows(self, place: EnvironmentPlace, target: SqlEnvironment) -> None:
        table = structure(
            "ticket",
            {"id": "bigint not null", "email": "text"},
            sequences=(OwnedSequence("ticket_id_seq", "id"),),
        )
        numbered = dataclasses.replace(
            table, columns=(dataclasses.replace(table.columns[0], identity="by default"), table.columns[1])
        )
        ticket = TableCopy(numbered, CUSTOMER.schema)
        refresh = Refresh(target, [ticket]).begin()
        refresh.load(ticket, batch(ticket, (5, "a"), (41, "b")))
        refresh.finish().publish()
        assert place.add("shop", "ticket") == 42

    def test_readers_see_the_old_copy_until_the_new_one_is_published(
        self, place: EnvironmentPlace, target: SqlEnvironment
    ) -> None:
        assert target.published() is None
        first = copy_of(place, 1, 2)
        refresh = Refresh(target, [CUSTOMER]).begin()
        refresh.load(CUSTOMER, batch(CUSTOMER, (8, "a")))
        assert place.ids("shop", "customer") == [1, 2]
        refresh.finish()
        assert place.ids("shop", "customer") == [1, 2]
        published = target.published()
        assert published is not None
        assert published.id == first.plan.id
        refresh.publish()
        refresh.publish()
        assert place.ids("shop", "customer") == [8]
        published = place.target().published()
        assert published is not None
        assert (published.id, published.policy, published.key_id) == (refresh.plan.id, "policy", KEYS.key_id)
        assert published.tables[0].table == TableId("crm", "shop", "customer")

    def test_the_published_copy_outlives_a_refresh_that_fails(
        self, place: EnvironmentPlace, target: SqlEnvironment
    ) -> None:
        first = copy_of(place, 1, 2)
        failing = Refresh(target, [CUSTOMER]).begin()
        failing.load(CUSTOMER, batch(CUSTOMER, (7, "a"), (7, "b")))
        with pytest.raises(VerificationFailed):
            failing.finish()
        Refresh(target, [CUSTOMER]).begin()
        assert place.ids("shop", "customer") == [1, 2]
        published = target.published()
        assert published is not None
        assert published.id == first.plan.id

    def test_tables_that_the_new_copy_has_not_are_gone(
        self, place: EnvironmentPlace, target: SqlEnvironment
    ) -> None:
        both = Refresh(target, [CUSTOMER, ORDER]).begin()
        both.load(CUSTOMER, batch(CUSTOMER, (1, "a")))
        both.load(ORDER, batch(ORDER, (7, 1)))
        both.finish().publish()
        copy_of(place, 2)
        assert place.ids("shop", "customer") == [2]
        assert place.ids("shop", "orders") == []
        with pytest.raises(RefreshError):
            list(target.read(ORDER, None))

    def test_a_superseded_plan_is_not_published(
        self, place: EnvironmentPlace, target: SqlEnvironment
    ) -> None:
        first = Refresh(target, [CUSTOMER]).begin()
        first.load(CUSTOMER, batch(CUSTOMER, (1, "a")))
        Refresh(target, [CUSTOMER]).begin()
        with pytest.raises(RefreshError):
            first.publish()
        assert place.ids("shop", "customer") == []

    # --- changes -------------------------------------------------------------------------

    def test_changes_of_all_tables_are_merged_at_once(
        self, place: EnvironmentPlace, target: SqlEnvironment
    ) -> None:
        refresh = Refresh(target, [CUSTOMER, ORDER]).begin()
        refresh.load(CUSTOMER, batch(CUSTOMER, (1, "a"), (2, "b"), (3, "c")))
        refresh.load(ORDER, batch(ORDER, (7, 1), (8, 2)))
        refresh.finish().publish()
        changes = Refresh(target, [CUSTOMER, ORDER], how="changes").begin()
        changes.load(CUSTOMER, batch(CUSTOMER, (2, "z"), (4, "d")), role="upserts")
        changes.load(CUSTOMER, batch(CUSTOMER, (1, None)), role="deletes")
        changes.load(ORDER, batch(ORDER, (7, 4)), role="upserts")
        assert place.ids("shop", "customer") == [1, 2, 3]
        assert target.violations(changes.plan, changes.tables) == ()
        assert changes.rows(CUSTOMER, "upserts")["id"].to_pylist() == [2, 4]
        assert changes.rows(CUSTOMER, "deletes")["id"].to_pylist() == [1]
        changes.finish().publish()
        changes.publish()
        merged = read(target, CUSTOMER)
        assert dict(zip(merged["id"].to_pylist(), merged["email"].to_pylist(), strict=True)) == {
            2: "z",
            3: "c",
            4: "d",
        }
        assert read(target, ORDER)["customer_id"].to_pylist() == [4, 2]

    def test_changes_that_refer_to_nothing_are_counted(self, target: SqlEnvironment) -> None:
        refresh = Refresh(target, [CUSTOMER, ORDER]).begin()
        refresh.load(CUSTOMER, batch(CUSTOMER, (1, "a"), (2, "b")))
        refresh.finish().publish()
        changes = Refresh(target, [CUSTOMER, ORDER], how="changes").begin()
        changes.load(CUSTOMER, batch(CUSTOMER, (1, None)), role="deletes")
        changes.load(ORDER, batch(ORDER, (7, 1), (8, 2), (9, 5)), role="upserts")
        assert target.violations(changes.plan, changes.tables) == (
            Violation(ORDER.structure.table, "orders_customer", 2),
        )

    def test_changes_need_a_published_copy_of_the_same_structure(self, target: SqlEnvironment) -> None:
        with pytest.raises(RefreshError, match="no published copy"):
            Refresh(target, [CUSTOMER], how="changes").begin()

    # --- the rest ------------------------------------------------------------------------

    def test_only_one_run_at_a_time_holds_the_environment(
        self, place: EnvironmentPlace, target: SqlEnvironment
    ) -> None:
        with target.held("nightly", "run-1"):
            with pytest.raises(RefreshInProgress, match="run-1"), place.target().held("nightly", "run-2"):
                raise AssertionError("two runs")
            refresh = copy_of(place, 1)
        with place.target().held("nightly", "run-3"):
            assert refresh.target.published() is not None

    def test_keys_to_tables_outside_the_copy_are_listed_and_left_out(
        self, place: EnvironmentPlace, target: SqlEnvironment
    ) -> None:
        lines = target.not_carried([ORDER.structure])
        assert any("orders_customer" in line and "crm.shop.orders" in line for line in lines)
        assert target.not_carried([CUSTOMER.structure, ORDER.structure]) == ()
        refresh = Refresh(target, [ORDER]).begin()
        refresh.load(ORDER, batch(ORDER, (7, 999)))
        refresh.finish().publish()
        assert place.ids("shop", "orders") == [7]

    def test_names_are_texts_and_never_sql(self, place: EnvironmentPlace, target: SqlEnvironment) -> None:
        table = structure(
            'a"b`c;--%s%',
            {"id": "bigint not null", 'x"; DROP TABLE y; --': "text", "select": "text", "%(s)s": "text"},
            primary_key=UniqueKey('k"`%s', ("id",)),
        )
        fields = {name: pa.int64() if name == "id" else pa.string() for name in table.names}
        odd = copied(table, **fields)
        refresh = Refresh(target, [odd]).begin()
        rows = batch(odd, (1, "a'b\\", None, "%s"))
        refresh.load(odd, rows)
        refresh.finish().publish()
        assert read(target, odd).equals(pa.Table.from_batches([rows]))

    def test_texts_tell_names_and_labels_around_the_rows(
        self, place: EnvironmentPlace, target: SqlEnvironment
    ) -> None:
        refresh = Refresh(target, [CUSTOMER]).begin()
        assert any("customer" in text for text in target.texts(refresh.plan))
        copy_of(place, 1)
        assert any("email" in text for text in target.texts(None))

    def test_drop_leaves_the_marker_and_nothing_else(
        self, place: EnvironmentPlace, target: SqlEnvironment
    ) -> None:
        copy_of(place, 1)
        left = Refresh(target, [CUSTOMER]).begin()
        left.load(CUSTOMER, batch(CUSTOMER, (1, "a")))
        target.drop()
        target.drop()
        assert place.ids("shop", "customer") == []
        assert target.published() is None
        assert target.loaded(left.plan) == {}
        assert list(target.texts(None)) == []
        assert target.marker() == marker_of(KEYS)
        copy_of(place, 3)
        assert place.ids("shop", "customer") == [3]

    def test_a_plan_id_of_any_refresh_is_its_own(self, target: SqlEnvironment) -> None:
        refresh = Refresh(target, [CUSTOMER]).begin()
        unknown = dataclasses.replace(refresh.plan, id=uuid.uuid4().hex)
        assert target.loaded(unknown) == {}
        with pytest.raises(RefreshError):
            list(target.read(CUSTOMER, unknown))
