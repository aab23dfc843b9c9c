import numpy as np
import pytest
import scipy.io

from da_bench.core.config import UserError
from da_bench.data.tables import domains_of, family, read

X = np.arange(12.0).reshape(4, 3)
Y = np.array([2, 0, 2, 1])


def save(data_folder, name="a", ending=".npz", **arrays):
    data_folder.mkdir(exist_ok=True)
    if ending == ".npz":
        np.savez(data_folder / f"{name}.npz", **arrays)
    else:
        scipy.io.savemat(data_folder / f"{name}.mat", arrays)
    return data_folder


def read_all(data_folder, name="a"):
    parts = read(data_folder, name)
    assert set(parts) == {"all"}
    return parts["all"]


def names(examples):
    return [examples.classes[label] for label in examples.labels]


@pytest.mark.parametrize("ending", [".npz", ".mat"])
@pytest.mark.parametrize(
    ("inputs", "labels"),
    [("inputs", "labels"), ("fts", "labels"), ("feas", "labels"), ("X", "y"), ("x", "Y"), ("fea", "gnd")],
)
def test_usual_array_names_are_recognised(tmp_path, ending, inputs, labels):
    examples = read_all(save(tmp_path, ending=ending, **{inputs: X, labels: Y}))
    np.testing.assert_array_equal(examples.inputs, X)
    assert (examples.inputs.dtype, examples.labels.dtype) == (np.float32, np.int32)
    assert examples.labels.tolist() == [2, 0, 2, 1]
    assert examples.classes == ("0", "1", "2")


@pytest.mark.parametrize("ending", [".npz", ".mat"])
@pytest.mark.parametrize("shape", [(4, 1), (1, 4)])
def test_labels_may_be_a_column_or_a_row(tmp_path, ending, shape):
    assert read_all(save(tmp_path, ending=ending, inputs=X, labels=Y.reshape(shape))).labels.tolist() == [2, 0, 2, 1]


@pytest.mark.parametrize(
    ("inputs", "expected_dtype"),
    [
        (np.ones((4, 5, 5, 3), np.uint8), np.uint8),
        (np.ones((4, 5, 5, 1), np.uint8), np.uint8),
        (np.ones((4, 5), np.uint8), np.float32),
        (np.ones((4, 5, 5, 3), np.uint16), np.float32),
        (np.ones((4, 5), np.float16), np.float32),
        (np.ones((4, 5), bool), np.float32),
        (np.ones((4, 128, 9)), np.float32),  # time series
    ],
)
def test_uint8_images_are_kept_and_other_inputs_become_float32(tmp_path, inputs, expected_dtype):
    read_back = read_all(save(tmp_path, inputs=inputs, labels=Y)).inputs
    assert read_back.dtype == expected_dtype
    np.testing.assert_array_equal(read_back, inputs)


@pytest.mark.parametrize("ending", [".npz", ".mat"])
def test_classes_array_names_the_labels(tmp_path, ending):
    classes = np.array(["mug", "bike", "pen"], object if ending == ".mat" else str)
    examples = read_all(save(tmp_path, ending=ending, inputs=X, labels=Y, classes=classes))
    assert names(examples) == ["pen", "mug", "pen", "bike"]
    assert examples.classes == ("bike", "mug", "pen")


@pytest.mark.parametrize("ending", [".npz", ".mat"])
def test_labels_may_be_strings(tmp_path, ending):
    label_names = np.array(["pen", "mug", "pen", "bike"])
    examples = read_all(save(tmp_path, ending=ending, inputs=X, labels=label_names))
    assert names(examples) == label_names.tolist()
    assert examples.classes == ("bike", "mug", "pen")


def test_declared_classes_may_be_absent_from_labels(tmp_path):
    # the target of a partial task
    examples = read_all(save(tmp_path, inputs=X, labels=[2, 2, 0, 0], classes=["a", "b", "c"]))
    assert examples.classes == ("a", "b", "c")
    assert names(examples) == ["c", "c", "a", "a"]


def test_numeric_classes_sort_numerically_with_consistent_names(tmp_path):
    save(tmp_path, "few", inputs=X, labels=[9, 2, 9, 2])
    save(tmp_path, "many", ".mat", inputs=X, labels=[9, 10, 100, 2])
    assert read_all(tmp_path, "few").classes == ("002", "009")
    many = read_all(tmp_path, "many")
    assert many.classes == ("002", "009", "010", "100")
    assert names(many) == ["009", "010", "100", "002"]


@pytest.mark.parametrize("labels", [[-1.0, 1, 1, -1], [False, True, True, False]])
def test_binary_label_codes_are_recognised(tmp_path, labels):
    examples = read_all(save(tmp_path, inputs=X, labels=labels))
    assert examples.labels.tolist() == [0, 1, 1, 0]
    assert examples.classes[1] == "1"


def test_published_split_is_kept(tmp_path):
    save(tmp_path, X_train=X, y_train=Y, X_test=X[:2] + 100, y_test=[1, 3], X_validation=X[:1], y_validation=[0])
    parts = read(tmp_path, "a")
    assert list(parts) == ["train", "validation", "test"]
    np.testing.assert_array_equal(parts["test"].inputs, X[:2] + 100)
    assert all(part.classes == ("0", "1", "2", "3") for part in parts.values())  # the classes of all parts
    assert [part.labels.tolist() for part in parts.values()] == [[2, 0, 2, 1], [0], [1, 3]]


GOOD = {"inputs": X, "labels": Y}


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({}, "needs arrays inputs .* its arrays are: none"),
        ({"inputs": X}, "needs arrays inputs .* its arrays are: inputs"),
        ({"data": X, "labels": Y}, "needs arrays inputs .* its arrays are: data, labels"),
        ({**GOOD, "X": X}, "inputs and X, which mean the same: keep one"),
        ({**GOOD, "y": Y}, "labels and y, which mean the same: keep one"),
        ({**GOOD, "inputs_train": X, "labels_train": Y}, "its arrays are: inputs, labels, inputs_train"),
        ({"X_train": X, "y_train": Y}, "its arrays are: X_train, y_train"),
        ({"X_train": X, "y_train": Y, "X_test": X}, "its arrays are"),
        (
            {"X_train": X, "y_train": Y, "X_test": X[:, :2], "y_test": Y},
            r"shape or type: train float32\[4, 3\], test float32\[4, 2\]",
        ),
        ({"X_train": X, "y_train": Y, "X_test": X, "y_test": ["a"] * 4}, "names in one part and numbers in another"),
        ({**GOOD, "labels": Y[:3]}, r"inputs is \(4, 3\), labels has 3; rows of inputs are the examples"),
        ({**GOOD, "labels": []}, "is empty: leave the file out"),
        ({**GOOD, "labels": [b"\xe9"] * 4}, "holds bytes that are not UTF-8: save it as strings"),
        ({**GOOD, "inputs": X.T}, r"inputs is \(3, 4\), labels has 4"),
        ({**GOOD, "inputs": X[:, 0]}, r"shape \(4,\): make it \[n, d\]"),
        ({"inputs": X[:0], "labels": Y[:0]}, r"is empty, of the shape \(0, 3\)"),
        ({**GOOD, "inputs": X[:, :0]}, "is empty"),
        ({**GOOD, "inputs": np.where(X > 6, np.nan, X)}, "5 values that are not finite .* first in row 2, from 0"),
        ({**GOOD, "inputs": np.where(X == 11, np.inf, X)}, "1 values that are not finite .* row 3"),
        ({**GOOD, "inputs": np.where(X == 11, 1e39, X)}, "1 values that are not finite as float32"),
        ({**GOOD, "inputs": X.astype(str)}, "holds no numbers"),
        ({**GOOD, "inputs": X.astype(object)}, "type object"),
        ({**GOOD, "inputs": X + 1j}, "type c"),
        ({**GOOD, "inputs": np.ones((4, 3, 8, 8), np.uint8)}, r"make images \[n, h, w, 1 or 3\]"),
        ({**GOOD, "labels": Y + 0.5}, r"label 2\.5 in row 0: labels are whole numbers"),
        ({**GOOD, "labels": np.where(Y == 1, np.nan, Y)}, "label nan in row 3"),
        ({**GOOD, "labels": Y * 1e300}, "label 2e.300 in row 0"),
        ({**GOOD, "labels": Y - 1}, "label -1 in row 1: labels are whole numbers from 0, or -1 and 1"),
        ({**GOOD, "labels": np.eye(4)}, r"shape \(4, 4\): make it \[n\]"),
        ({**GOOD, "labels": np.array(["a", "", "b", "c"])}, "label '' in row 1"),
        ({**GOOD, "labels": Y.astype(object)}, "type object"),
        ({**GOOD, "classes": ["a", "b"]}, "label 2 in row 0: labels are whole numbers from 0 to 1, for `classes`"),
        ({**GOOD, "labels": Y + 1, "classes": ["a", "b", "c"]}, "label 3 in row 0: .* from 0 to 2"),  # from 1
        ({**GOOD, "labels": [-1, 1, 1, -1], "classes": ["a", "b"]}, "label -1 in row 0"),
        ({**GOOD, "classes": ["a", "b", "a"]}, "all different"),
        ({**GOOD, "classes": ["a", "", "b"]}, "none empty"),
        ({**GOOD, "classes": [1, 2, 3]}, "has to hold strings"),
        ({**GOOD, "classes": np.array([], str)}, "has to hold strings"),
        ({**GOOD, "labels": ["a", "b", "c", "a"], "classes": ["a", "b"]}, "label 'c' in row 2, which is not a class"),
    ],
)
def test_invalid_content_is_refused(tmp_path, arrays, fault):
    with pytest.raises(UserError, match=rf"a\.npz'.*{fault}"):
        read(save(tmp_path, **arrays), "a")


def test_pickled_objects_are_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    save(tmp_path, inputs=X, labels=np.array([Bomb()] * 4, object))
    with pytest.raises(UserError, match=r"'labels' of .* is of the type object"):
        read(tmp_path, "a")


def test_domains_are_the_table_files(tmp_path):
    for name, ending in (("b", ".npz"), ("a", ".mat"), (".hidden", ".npz")):
        save(tmp_path, name, ending, **GOOD)
    (tmp_path / "notes.txt").write_text("")
    assert domains_of(tmp_path) == ("a", "b")
    assert domains_of(tmp_path / "nowhere") == ()


def test_missing_domain_suggests_the_nearest(tmp_path):
    save(tmp_path / "mine", "photos", **GOOD)
    with pytest.raises(UserError, match=r"no 'photo\.npz' or 'photo\.mat' in '.*mine'; did you mean 'photos'\?"):
        read(tmp_path / "mine", "photo")
    with pytest.raises(UserError, match="; create one, with arrays inputs"):
        read(tmp_path / "nowhere", "photo")
    for outside in ("../mine/photos", "./photos", ""):
        with pytest.raises(UserError, match="there is no"):
            read(tmp_path / "mine", outside)


@pytest.mark.parametrize("name", ["a.csv", "a.NPZ", "A.npz", "a.npz"])
def test_similar_file_names_are_pointed_out(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=rf"no 'a\.npz' or 'a\.mat' in '.*'; {name} is not a file"):
        read(tmp_path, "a")


@pytest.mark.parametrize("other_arrays", [{"inputs": X[:0], "labels": Y[:0]}, {"labels": Y * 100 - 1}, {}])
def test_broken_domain_does_not_affect_another(tmp_path, other_arrays):
    save(tmp_path, "a", **GOOD)
    save(tmp_path, "b", **other_arrays)
    (tmp_path / "c.npz").write_bytes(b"bad")
    assert read_all(tmp_path).classes == ("0", "1", "2")


def test_undecodable_domain_name_is_refused(tmp_path):
    save(tmp_path, **GOOD)
    (tmp_path / "two\nlines.npz").write_bytes(b"")
    with pytest.raises(UserError, match=r"'two\\nlines.npz' in '.*' is not UTF-8, .*: rename it"):
        domains_of(tmp_path)


def test_domain_in_two_files_is_refused(tmp_path):
    save(tmp_path, **GOOD)
    save(tmp_path, ending=".mat", **GOOD)
    with pytest.raises(UserError, match=r"a\.npz' and 'a\.mat' both exist: remove one"):
        read(tmp_path, "a")


def test_table_family(tmp_path):
    mine = family("mine")
    assert (mine.name, mine.folder, mine.domains, mine.classes) == ("table/mine", "mine", {}, ())
    assert mine.files("a") == ("a.npz|a.mat",)
    save(tmp_path / "mine", **GOOD)
    assert mine.read(tmp_path / mine.folder, "a")["all"].classes == ("0", "1", "2")


@pytest.mark.parametrize("name", ["", ".", "..", "../etc", "/etc", "a/b", ".hidden", "a|b"])
def test_invalid_table_names_are_refused(name):
    with pytest.raises(UserError, match="cannot name a table"):
        family(name)
