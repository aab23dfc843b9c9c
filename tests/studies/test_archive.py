"""A study's archive holds what its tables are made of, and they can be made again from it."""

import gzip
import json
import lzma
from pathlib import Path

import pytest

from da_bench.cli import main
from da_bench.core.config import UserError
from da_bench.methods import load_plugins
from da_bench.reporting.tables.write import write_tables
from da_bench.studies.archive import NAME, pack, records_in, unpack
from da_bench.studies.records import Records
from tests.helpers import fake

ROOT = Path(__file__).parents[2]
ARCHIVED = sorted(path.parent.name for path in (ROOT / "results").glob(f"*/{NAME}"))
WITH_TABLES = [name for name in ARCHIVED if (ROOT / "results" / name / "tables.md").is_file()]


@pytest.mark.artefacts
@pytest.mark.parametrize("study", WITH_TABLES)
def test_the_tables_that_are_kept_are_those_of_their_records(study, tmp_path):
    load_plugins()  # published numbers stand beside ours
    archive = unpack(ROOT / "results" / study / NAME)
    again, *_ = write_tables(archive.records, tmp_path, archive.rule)
    assert again.read_bytes() == (ROOT / "results" / study / again.name).read_bytes()


OTHERS = sorted(
    path
    for of in ("validators", "selection", "transferability", "search")
    for path in (ROOT / "results").glob(f"*/{of}.md")
)


@pytest.mark.artefacts
@pytest.mark.parametrize("path", OTHERS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_else_is_kept_is_what_its_first_line_makes(path, capsys, monkeypatch):
    """The first line is a comment with the command whose output the rest is."""
    monkeypatch.chdir(ROOT)
    first, rest = path.read_text().split("\n", 1)
    command, *arguments = first.removeprefix("<!-- ").removesuffix(" -->").split()
    assert (command, main(arguments)) == ("da-bench", 0)
    assert capsys.readouterr().out == rest


def test_tables_of_an_archive_are_those_of_its_records(tmp_path):
    records = fake.suite() + fake.sweep(seeds=3)
    (tmp_path / NAME).write_bytes(pack(records, "im"))
    archive = unpack(tmp_path / NAME)
    assert archive.rule == "im"
    assert records_in(tmp_path) == archive.records
    written = [write_tables(of, tmp_path / name, "im") for of, name in ((records, "a"), (archive.records, "b"))]
    assert [a.read_bytes() == b.read_bytes() for a, b in zip(*written, strict=True)] == [True] * 4


def test_all_is_kept_but_the_last_digits_of_curves(tmp_path):
    (record,) = fake.runs([1 / 3])
    record.curves["metrics"]["loss"][0] = None
    (tmp_path / NAME).write_bytes(pack([record], "last"))
    (found,) = unpack(tmp_path / NAME).records
    assert (found.id, found.config, found.result) == (record.id, record.config, record.result)
    assert found.environment == record.environment
    assert found.curves["target_accuracy"] == pytest.approx(record.curves["target_accuracy"], rel=1e-5)
    assert found.curves["metrics"]["loss"][0] is None
    assert found.curves["step"] == record.curves["step"]


def test_equal_records_give_equal_bytes_and_packing_again_changes_nothing(tmp_path):
    first = pack(fake.suite(), "last")
    assert first == pack(fake.suite(), "last")
    (tmp_path / NAME).write_bytes(first)
    assert pack(*unpack(tmp_path / NAME)) == first


def test_a_thousand_runs_are_small():
    records = fake.suite(tasks=[f"pair/{i}" for i in range(31)], seeds=5)
    assert len(records) > 1000
    assert len(pack(records, "last")) < 2 * 2**20 * len(records) / 1000


def test_without_an_archive_the_published_runs_are_read(tmp_path):
    (record,) = fake.runs([0.5])
    named = type(record)("0123456789abcdef", record.config, record.result, record.curves, record.environment)
    Records(tmp_path).publish(named, {})
    assert records_in(tmp_path) == [named]


def test_an_archive_of_the_first_version_is_read(tmp_path):
    packed = pack(fake.runs([0.5, 0.6]), "last")
    (tmp_path / "records.jsonl.gz").write_bytes(gzip.compress(lzma.decompress(packed)))
    assert pack(records_in(tmp_path), "last") == packed


WHOLE = pack(fake.runs([0.5, 0.6]), "last")
TEXT = lzma.decompress(WHOLE)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"no archive",
        WHOLE[:-20],
        WHOLE[:40] + b"\0" + WHOLE[41:],
        lzma.compress(TEXT.splitlines(keepends=True)[0]),
        lzma.compress(TEXT.replace(b'"schema":1', b'"schema":9', 1)),
        lzma.compress(TEXT.replace(b"0.5", b"NaN", 1)),
        lzma.compress(json.dumps([1, 2]).encode()),
    ],
)
def test_damage_is_one_message(damaged, tmp_path):
    (tmp_path / NAME).write_bytes(damaged)
    with pytest.raises(UserError, match=NAME):
        records_in(tmp_path)
