"""What is made of measured runs: medians, and ratios within a round."""

from __future__ import annotations

from replication_assets.core.overhead import NONE, UNREAD, Mix, Overhead, Rates


def runs(*totals: float) -> list[Rates]:
    return [Rates((total / 2, 7 * total, total / 2, 0)) for total in totals]


MEASURED = Overhead(
    "here",
    Mix((5, 1, 10, 1)),
    5.0,
    {NONE: runs(1000, 100, 3000), UNREAD: runs(900, 60, 2400)},
    {"log": "off"},
)


def test_a_mix_keeps_its_proportions_and_loses_no_kind() -> None:
    assert Mix.scaled(1).clients == (100, 20, 200, 20)
    assert Mix.scaled(0.05).clients == (5, 1, 10, 1)
    assert Mix.scaled(0.001).clients == (1, 1, 1, 1)
    assert len(Mix.scaled(0.05).kinds()) == 17


def test_a_ratio_is_the_median_of_those_within_a_round() -> None:
    assert MEASURED.ratio(NONE) == 1
    assert MEASURED.ratio(UNREAD) == 0.8
    assert MEASURED.spread(UNREAD) == (0.6, 0.9)
    assert MEASURED.medians(UNREAD) == (450, 6300, 450, 0, 900)


def test_the_table_is_printed_for_people_and_for_programs() -> None:
    assert MEASURED.markdown().splitlines() == [
        "| way | INSERT/s | SELECT/s | UPDATE/s | DELETE/s | writes/s | of no capture | rounds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| no capture | 500 | 7,000 | 500 | 0 | 1,000 | 1.00 | 1.00 to 1.00 |",
        "| triggers, not read | 450 | 6,300 | 450 | 0 | 900 | 0.80 | 0.60 to 0.90 |",
    ]
    document = MEASURED.document()
    assert document["clients"] == {"insert": 5, "select": 1, "update": 10, "delete": 1}
    assert document["left_out"] == {"log": "off"}
