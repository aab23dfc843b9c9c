"""`da-bench submit` and `da-bench leaderboard` as their users meet them."""

import json

import pytest

from tests.helpers.synthetic_runs import contents_of, paths_of, results_folder, write_submission


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return results_folder(tmp_path_factory.mktemp("results"), ("source_only", "coral"), 5)


PACK = ("submit", "pack", "--name", "Deep CORAL", "--authors", "A. Author", "--methods", "coral")


def test_pack_check_and_build(results, tmp_path, command):
    packed, site = tmp_path / "submissions" / "it.zip", tmp_path / "site"
    code, out, _ = command(*PACK, "--results", results, "--out", packed)
    assert (code, "5 runs" in out) == (0, True)
    verdict = tmp_path / "verdicts" / "it.json"
    code, out, _ = command("submit", "check", packed, "--against", results, "--verdict", verdict)
    assert code == 0
    assert out.splitlines()[-1].startswith("accepted: 5 runs, 5 recomputed")
    code, out, _ = command("leaderboard", "build", "--results", results, "--submissions", packed.parent,
        "--verdicts", verdict.parent, "--out", site,
    )  # fmt: skip
    assert code == 0, out
    assert "Deep CORAL: coral" in (site / "index.html").read_text()


def test_a_refused_submission_ends_with_one_message_and_stays_off_the_board(results, tmp_path, command):
    command(*PACK, "--results", results, "--out", tmp_path / "it")
    contents = contents_of(tmp_path / "it")
    name = paths_of(contents)[0]
    forged = contents[name].replace(b'"target_accuracy": 0.7', b'"target_accuracy": 0.8')
    assert forged != contents[name]
    write_submission({**contents, name: forged}, tmp_path / "submissions" / "forged")
    code, out, err = command("submit", "check", tmp_path / "submissions" / "forged", "--json")
    assert code == 1
    assert json.loads(out)["verdict"] == "refused"
    assert err.count("\n") == 1
    code, out, _ = command("leaderboard", "build", "--results", results, "--submissions", tmp_path / "submissions",
        "--out", tmp_path / "site",
    )  # fmt: skip
    assert code == 0
    assert "left out:" in out
    assert "Deep CORAL" not in (tmp_path / "site" / "index.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("submit", "pakc"), 2, "did you mean 'pack'"),
        (("leaderboard", "biuld"), 2, "did you mean 'build'"),
        (("leaderboard", "build", "--results", "nowhere"), 2, "no finished runs in nowhere"),
        (("leaderboard", "build", "--rule", "lsat"), 2, "did you mean 'last'"),
        (("submit", "check", "nowhere"), 1, "nowhere is refused"),
    ],
)
def test_a_mistake_gives_one_message(arguments, code, text, command, tmp_path):
    exit_code, _, err = command(*arguments)
    assert exit_code == code
    assert text in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "verb", [("submit", "--help"), ("submit", "pack", "--help"), ("leaderboard", "build", "--help")]
)
def test_every_command_has_help(verb, command):
    code, out, _ = command(*verb)
    assert code == 0
    assert len(out) > 100
