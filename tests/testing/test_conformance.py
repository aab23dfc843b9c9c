"""Every method passes its checks, and each planted faulty method fails the check that names its fault."""

import json

import jax
import jax.numpy as jnp
import pytest

import da_bench as da
from da_bench.cli import main
from da_bench.core.config import NonNegative, UserError
from da_bench.methods import METHODS, MethodMetadata, Penalty, load_plugins, register
from da_bench.testing import CHECKS, MethodUnderTest, check_method, checks_for, parametrize, run_check
from tests.helpers import tiny
from tests.helpers.planted import PLANTED

load_plugins()


@parametrize(METHODS[name] for name in tiny.KINDS)
def test_one_of_each_kind(check):
    check()


@pytest.mark.conformance
@parametrize(cls for name, cls in METHODS.items() if name not in tiny.KINDS)
def test_every_other_method(check):
    check()


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_caught_by_its_check(name):
    cls, check = PLANTED[name]
    result = run_check(CHECKS[check], MethodUnderTest(cls))
    assert result.outcome == "failed"
    assert result.reason


def test_every_check_of_a_penalty_has_a_planted_fault():
    assert {check.name for check in checks_for(Penalty)} == {check for _, check in PLANTED.values()}
    assert len(PLANTED) >= 20


def test_a_declared_failure_is_known_and_a_declared_pass_is_not(monkeypatch):
    """As with a strict xfail of pytest."""
    cls, check = PLANTED["half_the_batch"]
    declared = MethodMetadata(expected_failures={check: "it is wrong on purpose", "takes_a_step": "why not"})
    monkeypatch.setattr(cls, "metadata", declared)
    results = {name: run_check(CHECKS[name], MethodUnderTest(cls)) for name in (check, "takes_a_step")}
    assert results[check].outcome == "known_failure"
    assert results[check].reason == "it is wrong on purpose"
    assert results["takes_a_step"].outcome == "unexpected_pass"


@pytest.mark.parametrize(
    ("paper", "doc", "outcome", "reason"),
    [
        ("published", "References: arXiv:1412.3474.", "passed", ""),
        ("published", "", "failed", "unpublished"),
        ("unpublished", "", "passed", "no reference is needed"),
    ],
)
def test_an_unpublished_method_passes_with_a_note(paper, doc, outcome, reason, registry):
    class Mine(Penalty):
        def loss(self, ctx):
            return jnp.zeros(())

    Mine.__doc__ = f"A method.\n\n{doc}"
    result = run_check(CHECKS["documents_its_paper_and_fields"], MethodUnderTest(register(paper=paper)(Mine)))
    assert result.outcome == outcome
    assert reason in result.reason


@pytest.mark.parametrize(
    ("doc", "outcome"),
    [
        ("    Args:\n        weight: of the term.\n        decay: of the average.", "passed"),
        ("    Args:\n        weight: of the term, as decay: but on no line of its own.", "failed"),
    ],
)
def test_every_field_needs_a_line_of_its_own(doc, outcome, registry):
    class Mine(Penalty):
        weight: NonNegative = 1.0
        decay: NonNegative = 0.5

        def loss(self, ctx):
            return jnp.zeros(())

    Mine.__doc__ = f"A method.\n\n{doc}\n\n    References: arXiv:1412.3474."
    result = run_check(CHECKS["documents_its_paper_and_fields"], MethodUnderTest(register(Mine)))
    assert result.outcome == outcome
    assert "decay" in result.reason or outcome == "passed"


def test_failures_are_one_error_that_names_them(capsys):
    with pytest.raises(UserError, match="'half_the_batch' fails 1 of 2 checks: order_within_a_batch"):
        check_method(PLANTED["half_the_batch"][0], ["takes_a_step", "order_within_a_batch_does_not_matter"])
    assert capsys.readouterr().out.startswith("ok    takes_a_step\nFAIL  order_within_a_batch_does_not_matter: ")


def test_a_failure_at_weight_zero_points_to_a_second_update():
    name = next(name for name, (_, check) in PLANTED.items() if check == "weight_zero_is_source_only")
    result = run_check(CHECKS["weight_zero_is_source_only"], MethodUnderTest(PLANTED[name][0]))
    assert "inner_update" in result.reason


def test_an_unknown_check_is_refused_before_anything_is_printed(capsys, monkeypatch):
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    assert main(["check", "coral", "--only", "takes_a_stop"]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert "takes_a_stop" in err


def test_one_failure_is_one_check(tmp_path, capsys, registry, monkeypatch):
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    (tmp_path / "mine.py").write_text(FILE.format(sign="+1").replace("References: arXiv:1412.3474.", ""))
    assert main(["check", str(tmp_path / "mine.py"), "--only", "documents_its_paper_and_fields"]) == 1
    assert "1 check fails" in capsys.readouterr().err


def test_an_unknown_check_is_refused():
    with pytest.raises(UserError, match="no check 'takes_a_stop'"):
        check_method(da.methods.Coral, ["takes_a_stop"])


FILE = '''
import jax.numpy as jnp
import da_bench as da

@da.methods.register
class MeanGap(da.methods.Penalty):
    """Squared distance of the means.

    References: arXiv:1412.3474.
    """

    def loss(self, ctx):
        return {sign} * jnp.sum((ctx.source.features.mean(axis=0) - ctx.target.features.mean(axis=0)) ** 2)
'''


@pytest.fixture
def registry(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))


@pytest.mark.parametrize(("sign", "code"), [("+1", 0), ("-1", 1)])
def test_the_command_checks_a_file(sign, code, tmp_path, capsys, registry, monkeypatch):
    monkeypatch.setattr(jax.config, "update", lambda *_: None)  # the tests' own devices stay
    file = tmp_path / "mine.py"
    file.write_text(FILE.format(sign=sign))
    assert main(["check", str(file), "--only", "takes_a_step", "lowers_what_it_says", "--json"]) == code
    out, err = capsys.readouterr()
    outcomes = {result["check"]: result["outcome"] for result in map(json.loads, out.splitlines())}
    assert outcomes == {"takes_a_step": "passed", "lowers_what_it_says": "failed" if code else "passed"}
    assert ("mean_gap/lowers_what_it_says" in err) == bool(code)


def test_a_file_without_methods_is_refused(tmp_path, capsys, registry, monkeypatch):
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    (tmp_path / "none.py").write_text("x = 1\n")
    assert main(["check", str(tmp_path / "none.py")]) == 2
    assert "registers no method" in capsys.readouterr().err
