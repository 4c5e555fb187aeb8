from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.faults import ALTER, KINDS, relayed
from benchmarks.growth import MORE_BLOCKS, MORE_FILES, MORE_MEMORY, Report, Sample, sample
from benchmarks.soak import soak

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.nginx import Nginx


def port_of(url: str) -> int:
    """Return the port of a loopback URL."""
    return int(url.rpartition(":")[2])


def test_nothing_is_lost_while_some_of_it_fails(nginx: Nginx, tmp_path: Path) -> None:
    """All artifacts come back as they were, and there is one more request for each break."""
    with relayed(port_of(nginx.url), 0.04, seed=12) as (url, faults):
        report = soak(f"{url}/open", 200, tmp_path, samples=20)

    assert (200, {}, 0) == (report.pairs, report.errors, report.different)
    assert set(faults) == set(KINDS)
    assert 400 + faults.total() - faults["stall"] == report.attempts
    assert report.size > 0
    assert [] == list(tmp_path.iterdir())


def test_an_artifact_that_was_altered_is_told(nginx: Nginx, tmp_path: Path) -> None:
    """What a run says of errors is not always that there are none."""
    with relayed(port_of(nginx.url), 1.0, kinds=[ALTER]) as (url, faults):
        report = soak(f"{url}/open", 30, tmp_path)

    assert {"IntegrityError"} == set(report.errors)
    assert 0 == report.different
    assert 30 == report.pairs + report.errors.total()
    assert faults.total() >= report.errors.total()
    assert f"{report.errors.total()} times IntegrityError" in report.complaints()


def run_of(first: Sample, middle: Sample, last: Sample) -> Report:
    """Return the report of a run in which nothing failed."""
    report = Report(pairs=20, seconds=1.0)
    for sample_ in [first] * 2 + [middle] * 8 + [last] * 10:
        report.samples.extend(sample_)
    return report


STEADY = Sample(19, 10, 90.0, 500_000)


@pytest.mark.parametrize(
    ("last", "complaints"),
    [
        (STEADY, []),
        (Sample(19 + MORE_FILES, 10, 90.0 + MORE_MEMORY, 500_000 + MORE_BLOCKS), []),
        (STEADY._replace(files=20 + MORE_FILES), ["the number of open files grows"]),
        (STEADY._replace(threads=11), ["the number of threads grows"]),
        (STEADY._replace(memory=91.0 + MORE_MEMORY), ["the memory grows"]),
        (STEADY._replace(blocks=500_001 + MORE_BLOCKS), ["the number of objects grows"]),
    ],
)
def test_what_grows_is_told(last: Sample, complaints: list[str]) -> None:
    """A few files more are a connection that is being replaced; a thread more is one too many."""
    assert complaints == run_of(STEADY, STEADY, last).complaints()


def test_memory_may_grow_at_the_start() -> None:
    """What is imported and kept in the first half is no leak."""
    assert [] == run_of(Sample(19, 10, 40.0, 200_000), STEADY, STEADY).complaints()


def test_an_artifact_that_differs_is_told() -> None:
    """One of them is enough."""
    report = run_of(STEADY, STEADY, STEADY)
    report.different = 1
    assert ["1 artifacts are not what was stored"] == report.complaints()


def test_the_figures_are_told() -> None:
    """A report has all that was counted."""
    report = run_of(STEADY, STEADY, STEADY)
    report.attempts = 43
    report.faults.update({"503": 3})
    told = "\n".join(report.lines())
    for text in ("pairs      20", "requests   43", "     3 503", "at  10%            19       10"):
        assert text in told


def test_this_process_is_looked_at(tmp_path: Path) -> None:
    """One more open file is one more in the sample."""
    before = sample()
    with (tmp_path / "file").open("wb"):
        assert before.files + 1 == sample().files
    assert before.threads >= 1
    assert before.memory > 1
    kept = [object() for _ in range(1000)]
    assert before.blocks + len(kept) <= sample().blocks
