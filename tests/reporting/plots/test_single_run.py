import dataclasses

import numpy as np
import pytest
from sklearn.decomposition import PCA

from da_bench.core.config import UserError
from da_bench.core.types import Domain
from da_bench.reporting.plots.single_run import (
    Cloud,
    Plane,
    embed,
    plot_boundaries,
    plot_confusion,
    plot_features,
    require_package,
)
from tests.helpers import fake


def record_with_classes(classes=("cat", "dog", "$x$")):
    record = fake.record(weight=1.0)
    return dataclasses.replace(record, result=record.result | {"classes": list(classes)})


def test_confusion_is_percent_of_each_true_class():
    counts = np.array([[3, 1, 0], [0, 0, 0], [5, 0, 5]])
    figure = plot_confusion(record_with_classes(), counts, "last")
    shown = np.array([text.get_text() for text in figure.axes[0].texts], int).reshape(3, 3)
    assert shown.tolist() == [[75, 25, 0], [0, 0, 0], [50, 0, 50]]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["cat", "dog", r"\$x\$"]
    text = " ".join(part.get_text() for part in figure.texts).replace("\n", " ")
    assert "14 rows" in text
    assert "seed 0" in text
    assert "quickstart.py" in text


@pytest.mark.parametrize(("classes", "names"), [(31, 31), (65, 0)])
def test_many_classes_have_no_numbers(classes, names):
    figure = plot_confusion(
        record_with_classes([f"class {i}" for i in range(classes)]), np.eye(classes, dtype=int), "last"
    )
    assert not figure.axes[0].texts
    assert sum(text.get_text().startswith("class") for text in figure.axes[0].get_yticklabels()) == names


def clouds():
    noise = np.random.default_rng(0)
    labels = np.arange(40) % 2
    source = noise.normal(0, 0.1, (40, 5)) + 3 * labels[:, None]
    return Cloud(source, source + 0.05, labels, labels), labels


@pytest.mark.parametrize("embedding", ["tsne", pytest.param("umap", marks=pytest.mark.slow)])
def test_a_map_keeps_neighbours_and_is_the_same_each_time(embedding):
    pytest.importorskip({"tsne": "openTSNE", "umap": "umap"}[embedding])
    cloud, labels = clouds()
    places = embed(cloud.source, cloud.target, embedding)
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2) + np.where(np.eye(80), np.inf, 0)
    assert np.mean(np.tile(labels, 2)[gaps.argmin(axis=1)] == np.tile(labels, 2)) > 0.95
    assert np.array_equal(places, embed(cloud.source, cloud.target, embedding))


def test_features_have_panels_clouds_and_a_description():
    pytest.importorskip("openTSNE")
    cloud, _ = clouds()
    figure = plot_features(
        record_with_classes(), {"before: source only": cloud, "after: dann": cloud}, "tsne", is_reproduced=False
    )
    assert [axes.get_title("left") for axes in figure.axes] == ["before: source only", "after: dann"]
    assert [len(dots.get_offsets()) for dots in figure.axes[0].collections] == [40, 40]
    text = " ".join(part.get_text() for part in figure.texts).replace("\n", " ")
    assert "t-SNE" in text
    assert "last bits" in text


@pytest.mark.parametrize("rows", [np.full((20, 3), np.nan), np.zeros((4, 3))])
def test_features_without_a_map_are_refused(rows):
    with pytest.raises(UserError, match="cannot be drawn"):
        embed(rows, rows, "tsne")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="openTSNE: pip install"):
        require_package("tsne")


def test_principal_components_equal_those_of_scikit_learn_up_to_sign():
    source, target = (np.random.default_rng(i).normal(size=(20, 5)) * [3, 2, 1, 0.5, 0.1] for i in (0, 1))
    expected = PCA(2).fit_transform(np.concatenate([source, target]))
    np.testing.assert_allclose(np.abs(embed(source, target, "pca")), np.abs(expected), atol=1e-9)


def test_boundaries_have_one_panel_per_network():
    x = np.linspace(-1, 1, 5, dtype=np.float32)
    source = Domain(np.array([[-0.5, 0.0], [0.5, 0.0]], np.float32), np.array([0, 1], np.int32))
    classes = np.tile(x > 0, (5, 1)).astype(int)
    planes = {name: Plane(x, x, classes, source, source.inputs) for name in ("before: source only", "after: dann")}
    figure = plot_boundaries(record_with_classes(), planes, is_reproduced=True)
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(planes)
    (boundary,) = [
        polygon for path in figure.axes[0].collections[1].get_paths() for polygon in path.to_polygons(closed_only=False)
    ]
    assert np.unique(boundary[:, 0]).tolist() == [0.25]  # halfway between the grid's 0 and 0.5
