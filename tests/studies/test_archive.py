"""A study's archive holds all records of the study, so its tables can be written again from it."""

import gzip
import json
import lzma

import pytest

from benchmarks import remake_tables
from da_bench.core.config import UserError
from da_bench.reporting.tables.write import write_tables
from da_bench.studies.archive import NAME, pack, records_in, unpack
from da_bench.studies.records import Records
from tests.helpers import fake


@pytest.mark.artefacts
@pytest.mark.parametrize("folder", remake_tables.studies(), ids=lambda folder: folder.name)
def test_committed_tables_and_cards_equal_those_written_from_their_records(folder, monkeypatch):
    monkeypatch.chdir(remake_tables.RESULTS.parent)
    pages = remake_tables.remade_pages(folder)
    assert pages
    assert {path.name: text for path, text in pages.items()} == {path.name: path.read_text() for path in pages}


def test_tables_of_an_archive_equal_those_of_its_records(tmp_path):
    records = fake.suite() + fake.sweep(seeds=3)
    (tmp_path / NAME).write_bytes(pack(records, "im"))
    archive = unpack(tmp_path / NAME)
    assert archive.rule == "im"
    assert records_in(tmp_path) == archive.records
    written = [write_tables(runs, tmp_path / name, "im") for runs, name in ((records, "a"), (archive.records, "b"))]
    assert [a.read_bytes() == b.read_bytes() for a, b in zip(*written, strict=True)] == [True] * 4


def test_an_archive_rounds_curves_and_keeps_everything_else(tmp_path):
    (record,) = fake.runs([1 / 3])
    record.curves["metrics"]["loss"][0] = None
    (tmp_path / NAME).write_bytes(pack([record], "last"))
    (result,) = unpack(tmp_path / NAME).records
    assert (result.id, result.config, result.result) == (record.id, record.config, record.result)
    assert result.environment == record.environment
    assert result.curves["target_accuracy"] == pytest.approx(record.curves["target_accuracy"], rel=1e-5)
    assert result.curves["metrics"]["loss"][0] is None
    assert result.curves["step"] == record.curves["step"]


def test_packing_is_deterministic_and_survives_a_round_trip(tmp_path):
    first = pack(fake.suite(), "last")
    assert first == pack(fake.suite(), "last")
    (tmp_path / NAME).write_bytes(first)
    assert pack(*unpack(tmp_path / NAME)) == first


def test_the_archive_of_a_thousand_runs_is_smaller_than_two_mib():
    records = fake.suite(tasks=[f"pair/{i}" for i in range(31)], seeds=5)
    assert len(records) > 1000
    assert len(pack(records, "last")) < 2 * 2**20 * len(records) / 1000


def test_without_an_archive_the_published_runs_are_read(tmp_path):
    (record,) = fake.runs([0.5])
    identified = type(record)("0123456789abcdef", record.config, record.result, record.curves, record.environment)
    Records(tmp_path).publish(identified, {})
    assert records_in(tmp_path) == [identified]


def test_an_archive_of_the_first_version_can_be_read(tmp_path):
    packed = pack(fake.runs([0.5, 0.6]), "last")
    (tmp_path / "records.jsonl.gz").write_bytes(gzip.compress(lzma.decompress(packed)))
    assert pack(records_in(tmp_path), "last") == packed


ARCHIVE = pack(fake.runs([0.5, 0.6]), "last")
CONTENT = lzma.decompress(ARCHIVE)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"no archive",
        ARCHIVE[:-20],
        ARCHIVE[:40] + b"\0" + ARCHIVE[41:],
        lzma.compress(CONTENT.splitlines(keepends=True)[0]),
        lzma.compress(CONTENT.replace(b'"schema":1', b'"schema":9', 1)),
        lzma.compress(CONTENT.replace(b"0.5", b"NaN", 1)),
        lzma.compress(json.dumps([1, 2]).encode()),
    ],
)
def test_a_damaged_archive_gives_one_error_with_its_name(damaged, tmp_path):
    (tmp_path / NAME).write_bytes(damaged)
    with pytest.raises(UserError, match=NAME):
        records_in(tmp_path)
