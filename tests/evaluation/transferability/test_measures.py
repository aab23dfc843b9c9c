"""The measures that every record holds."""

import numpy as np
import pytest

from da_bench.evaluation import transferability as t


@pytest.fixture
def inputs(rng):
    labels = np.arange(600) % 3
    source, target = (rng.normal(size=(600, 4)) + np.eye(4)[labels] + shift for shift in (0.0, 1.0))
    return t.TransferInputs(source, target, np.full((600, 3), 1 / 3) + 0.1 * (np.eye(3)[labels] - 1 / 3), labels)


def test_every_measure_is_finite_and_uses_the_first_rows(inputs):
    values = t.measure(inputs)
    assert list(values) == list(t.MEASURES)
    assert np.isfinite(list(values.values())).all()
    first_rows = t.measure(t.TransferInputs(*(rows[:500] for rows in inputs)))
    assert first_rows == values
    assert values["coral"] == t.coral(inputs.source[:500], inputs.target[:500])
    assert values["leep"] == t.leep(inputs.p[:500], inputs.labels[:500])
    assert values["nce"] == t.nce(inputs.labels[:500], inputs.labels[:500]) == 0.0


@pytest.mark.parametrize("field", ["source", "target", "p"])
def test_infinite_numbers_or_a_single_row_give_nan(inputs, field):
    damaged = getattr(inputs, field).copy()
    damaged[3, 0] = np.nan
    assert np.isnan(list(t.measure(inputs._replace(**{field: damaged})).values())).all()
    assert np.isnan(list(t.measure(t.TransferInputs(*(rows[:1] for rows in inputs))).values())).all()
