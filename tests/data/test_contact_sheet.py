import numpy as np
import pytest
from PIL import Image

from da_bench.core.config import UserError
from da_bench.data.contact_sheet import GAP, LABEL, TILE, write_preview
from da_bench.data.tasks import load
from tests.helpers.images_on_disk import write_domains


def test_sheet_shows_every_class_of_both_domains(tmp_path):
    write_preview("digits/synthetic-to-real", tmp_path / "sheet.png", per_class=2)
    with Image.open(tmp_path / "sheet.png") as image:
        sheet = np.asarray(image)
    assert sheet.shape == (11 * (TILE + GAP), LABEL + 4 * (TILE + GAP) + 4 * GAP, 3)
    task = load("digits/synthetic-to-real")
    sides = [(task.source.train, LABEL), (task.target.train, LABEL + 2 * (TILE + GAP) + 4 * GAP)]
    for split, start in sides:
        rows = np.flatnonzero(split.labels == 7)[:2]
        for j, row in enumerate(rows):
            tile = sheet[8 * (TILE + GAP) :, start + j * (TILE + GAP) :][:TILE, :TILE]
            small = np.asarray(Image.fromarray(tile).convert("L").resize((8, 8), Image.Resampling.BOX), float)
            assert np.corrcoef(small.ravel(), split.inputs[row].ravel())[0, 1] > 0.95


def test_preview_of_an_image_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    write_domains(tmp_path / "mine", per_class=10)
    write_preview("mine/photos-to-sketches", tmp_path / "sheet.png", tmp_path)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height == 4 * (TILE + GAP)


@pytest.mark.parametrize("per_class", [-3, 0, 51, 1_000_000])
def test_per_class_out_of_range_is_refused(tmp_path, per_class):
    with pytest.raises(UserError, match=rf"--per-class {per_class}: .* 1 to 50"):
        write_preview("digits/synthetic-to-real", tmp_path / "sheet.png", per_class=per_class)


def test_sheet_is_no_wider_than_the_largest_class(tmp_path, monkeypatch):
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    write_domains(tmp_path / "mine", per_class=2)
    write_preview("mine/photos-to-sketches", tmp_path / "sheet.png", tmp_path, per_class=50)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == LABEL + 2 * 2 * (TILE + GAP) + 4 * GAP


def save_table(data_folder, inputs):
    data_folder.mkdir()
    for name in "ab":
        np.savez(data_folder / f"{name}.npz", inputs=inputs, labels=np.arange(40) % 2)


@pytest.mark.parametrize(
    ("shape", "scale", "fault"),
    [
        ((40, 3, 8, 8), 1, r"shape is \[3, 8, 8\], not \[h, w, 1 or 3\]"),
        ((40, 8, 8, 2), 1, r"shape is \[8, 8, 2\]"),
        ((40, 8, 8, 3), 100, "numbers from .* to "),
        ((40, 8, 8, 1), -1, "numbers from .* to "),
    ],
)
def test_tables_without_images_are_refused(tmp_path, rng, shape, scale, fault):
    save_table(tmp_path / "mine", scale * rng.uniform(size=shape))
    with pytest.raises(UserError, match=f"the inputs of 'table/mine/a-to-b' are not images.*{fault}"):
        write_preview("table/mine/a-to-b", tmp_path / "sheet.png", tmp_path)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_preview_of_a_table_of_images(tmp_path, rng, kind):
    save_table(tmp_path / "mine", rng.uniform(size=(40, 8, 6, 1), high=255 if kind == np.uint8 else 1).astype(kind))
    write_preview("table/mine/a-to-b", tmp_path / "sheet.png", tmp_path)


def test_non_latin_class_names_are_rendered(tmp_path, monkeypatch):
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    write_domains(tmp_path / "mine", classes=("\u0436\u0443\u043a", "\u043a\u043e\u0442"), per_class=10)
    write_preview("mine/photos-to-sketches", tmp_path / "sheet.png", tmp_path)
    with Image.open(tmp_path / "sheet.png") as image:
        sheet = np.asarray(image)
    first, second = (sheet[i * (TILE + GAP) :][:TILE, :LABEL] for i in (1, 2))
    assert (first != second).any()  # a font without these letters would draw equal boxes


def test_features_and_folder_outputs_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"the inputs of 'moons/35' are not images"):
        write_preview("moons/35", tmp_path / "sheet.png")
    with pytest.raises(UserError, match="choose another --out"):
        write_preview("digits/synthetic-to-real", tmp_path)  # a folder
