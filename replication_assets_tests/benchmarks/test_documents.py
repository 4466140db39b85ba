"""Reports are data, and the document is made of those that are there."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.catalogue import BENCHMARKS, keep
from benchmarks.measure.document import draw, shown_in, text
from benchmarks.measure.report import Plot, Report, Table, Target

GROWTH = Plot(
    "load_growth", "Load by ranges", "id ranges", "rows/s", {"ours": ((1.0, 10.0), (2.0, 19.0))}, log=True
)
BARS = Plot("load_rates", "Rates", "", "rows/s", {"ours": ((0.0, 10.0),), "COPY": ((0.0, 20.0),)}, "bars")
LOAD = Report(
    "load",
    "Load",
    "A table is read.",
    "pyarrow 1.0",
    (Table("orders", ("path", "rows/s"), (("**COPY | 2**", "20"), ("ours", "10"))),),
    (Target.at_least("of COPY", 0.45, 0.5), Target.at_most("peak", 512, 600, " MiB")),
    (GROWTH, BARS),
    "Most of it is decoding.",
    "a machine, 2 cores",
    "abc123",
)
FOLD = replace(LOAD, name="fold", title="Fold", about="Events become rows.", targets=(), plots=())


def document(folder: Path) -> str:
    return (folder / "benchmarks.md").read_text(encoding="utf-8")


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    LOAD.write(tmp_path / "load.json")
    assert Report.read(tmp_path / "load.json") == LOAD


def test_a_document_holds_targets_tables_plots_and_notes(tmp_path: Path) -> None:
    keep(LOAD, tmp_path)
    told = document(tmp_path)
    assert "| [Load](#load) | of COPY | at least 0.45 | 0.50 | yes |" in told
    assert "| [Load](#load) | peak | at most 512 MiB | 600 MiB | **no** |" in told
    assert "| path | rows/s |\n| --- | --- |\n| **COPY \\| 2** | 20 |\n| ours | 10 |" in told
    assert "![Load by ranges](benchmarks/load_growth.svg)" in told
    assert "Measured at commit abc123 on a machine, 2 cores; pyarrow 1.0." in told
    assert "Most of it is decoding." in told
    for plot in LOAD.plots:
        assert (tmp_path / "benchmarks" / f"{plot.name}.svg").read_text(encoding="utf-8").count("<path")


def test_one_benchmark_run_again_leaves_the_sections_of_others(tmp_path: Path) -> None:
    keep(FOLD, tmp_path)
    keep(LOAD, tmp_path)
    section = document(tmp_path).partition("## Fold")[2]
    keep(replace(LOAD, about="Read again."), tmp_path)
    told = document(tmp_path)
    assert "Read again." in told
    assert "A table is read." not in told
    assert told.partition("## Fold")[2] == section
    assert told.index("## Load") < told.index("## Fold")


def test_a_page_shows_tables_of_the_newest_run_between_its_own_words(tmp_path: Path) -> None:
    page = tmp_path / "choice.md"
    page.write_text("Before.\n<!-- of load: orders -->\nold\n<!-- end -->\nAfter.\n", encoding="utf-8")
    keep(LOAD, tmp_path)
    shown = page.read_text(encoding="utf-8")
    assert "| ours | 10 |\n\nMeasured at commit abc123 on a machine, 2 cores." in shown
    assert shown.startswith("Before.\n<!-- of load: orders -->")
    assert shown.endswith("<!-- end -->\nAfter.\n")
    assert "old" not in shown
    assert shown_in(shown, LOAD) == shown


def test_pages_of_the_repository_show_the_runs_that_are_kept() -> None:
    documents = Path(__file__).parents[2] / "docs"
    kept = [documents / "benchmarks" / f"{name}.json" for name in BENCHMARKS]
    for report in [Report.read(path) for path in kept if path.exists()]:
        for page in documents.glob("*.md"):
            written = page.read_text(encoding="utf-8")
            assert shown_in(written, report) == written, page.name


@pytest.mark.parametrize("plot", [GROWTH, BARS], ids=["lines", "bars"])
def test_the_same_points_are_drawn_as_the_same_bytes(plot: Plot, tmp_path: Path) -> None:
    drawn = []
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        draw(plot, tmp_path / folder)
        drawn.append((tmp_path / folder / f"{plot.name}.svg").read_bytes())
    assert drawn[0] == drawn[1]


def test_a_target_of_a_short_run_says_neither_yes_nor_no() -> None:
    short = replace(LOAD, targets=(Target.at_least("of COPY", 0.45, 0.9, short=True),))
    assert "of COPY: 0.90 (at least 0.45): not said" in text(short)
    assert "of COPY: 0.50 (at least 0.45): met" in text(LOAD)
    assert "peak: 600 MiB (at most 512 MiB): MISSED" in text(LOAD)
