import numpy as np
import pytest
from pictures_on_disk import folder
from PIL import Image

from da_bench.data.preview import GAP, LABEL, TILE, write_preview
from da_bench.data.tasks import load
from da_bench.settings import UserError


def test_every_class_of_both_domains_is_on_the_sheet(tmp_path):
    write_preview("digits/synthetic-to-real", tmp_path / "sheet.png", per_class=2)
    with Image.open(tmp_path / "sheet.png") as picture:
        sheet = np.asarray(picture)
    assert sheet.shape == (11 * (TILE + GAP), LABEL + 4 * (TILE + GAP) + 4 * GAP, 3)
    task = load("digits/synthetic-to-real")
    sides = [(task.source.train, LABEL), (task.target.train, LABEL + 2 * (TILE + GAP) + 4 * GAP)]
    for split, start in sides:
        rows = np.flatnonzero(split.labels == 7)[:2]
        for j, row in enumerate(rows):
            tile = sheet[8 * (TILE + GAP) :, start + j * (TILE + GAP) :][:TILE, :TILE]
            small = np.asarray(Image.fromarray(tile).convert("L").resize((8, 8), Image.Resampling.BOX), float)
            assert np.corrcoef(small.ravel(), split.inputs[row].ravel())[0, 1] > 0.95


def test_pictures_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    folder(tmp_path / "mine", per_class=10)
    write_preview("mine/photos-to-sketches", tmp_path / "sheet.png", tmp_path)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height == 4 * (TILE + GAP)


def test_features_have_no_pictures(tmp_path):
    with pytest.raises(UserError, match=r"the inputs of 'moons/35' are no pictures"):
        write_preview("moons/35", tmp_path / "sheet.png")
    with pytest.raises(UserError, match="choose another --out"):
        write_preview("digits/synthetic-to-real", tmp_path / "gone" / "sheet.png")
