"""Python files of the user: their names, and errors in them."""

import pytest

from da_bench.core.config import UserError
from da_bench.core.user_files import run_file


def test_run_file_returns_the_names_of_a_file(tmp_path):
    (tmp_path / "some.py").write_text("a = 2\n")
    assert run_file(tmp_path / "some.py")["a"] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (", "SyntaxError"),
        ("import nothing_here", "line 1, cannot be loaded: ModuleNotFoundError"),
        ("\nraise RuntimeError('boo')", "line 2, cannot be loaded: RuntimeError: boo"),
        ("import json\n\njson.loads('{')", "line 3, cannot be loaded: JSONDecodeError"),
    ],
)
def test_an_error_names_the_file_and_the_line(text, message, tmp_path):
    (tmp_path / "some.py").write_text(text)
    with pytest.raises(UserError) as error:
        run_file(tmp_path / "some.py")
    assert str(error.value).startswith(str(tmp_path / "some.py"))
    assert message in str(error.value)


def test_a_user_error_keeps_its_message(tmp_path):
    (tmp_path / "some.py").write_text("from da_bench.core.config import UserError\nraise UserError('do this')")
    with pytest.raises(UserError, match=r"^do this$"):
        run_file(tmp_path / "some.py")
    with pytest.raises(UserError, match="no such file"):
        run_file(tmp_path / "other.py")
