"""Sets of methods that experiments compare."""

from da_bench.baselines import classic_methods, deep_methods

from da_bench.methods import METHODS, Method


def test_classic_methods_include_cdan_with_entropy_conditioning():
    methods = classic_methods()
    assert [m.name for m in methods] == ["coral", "mmd", "jan", "cdan", "mcd", "wdgrl", "adda", "cdan"]
    assert [m.entropy_conditioning for m in methods if m.name == "cdan"] == ["none", "plain"]


def test_deep_methods_are_all_that_do_not_need_batch_normalisation():
    names = {method.name for method in deep_methods()}
    deep = {name: cls for name, cls in METHODS.items() if issubclass(cls, Method)}
    assert set(deep) - names == {name for name, cls in deep.items() if cls.metadata.needs_batch_norm}
    assert {"tent", "ada_bn"} <= set(deep) - names
