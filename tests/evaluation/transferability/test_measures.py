"""What a record holds."""

import numpy as np
import pytest

from da_bench.evaluation import transferability as t


@pytest.fixture
def sample(rng):
    labels = np.arange(600) % 3
    source, target = (rng.normal(size=(600, 4)) + np.eye(4)[labels] + shift for shift in (0.0, 1.0))
    return t.Sample(source, target, np.full((600, 3), 1 / 3) + 0.1 * (np.eye(3)[labels] - 1 / 3), labels)


def test_every_measure_is_a_number_of_the_first_rows(sample):
    found = t.measure(sample)
    assert list(found) == list(t.MEASURES)
    assert np.isfinite(list(found.values())).all()
    cut = t.measure(t.Sample(*(rows[:500] for rows in sample)))
    assert cut == found
    assert found["coral"] == t.coral(sample.source[:500], sample.target[:500])
    assert found["leep"] == t.leep(sample.p[:500], sample.labels[:500])
    assert found["nce"] == t.nce(sample.labels[:500], sample.labels[:500]) == 0.0


@pytest.mark.parametrize("field", ["source", "target", "p"])
def test_what_is_not_finite_or_one_row_has_no_measures(sample, field):
    spoiled = getattr(sample, field).copy()
    spoiled[3, 0] = np.nan
    assert np.isnan(list(t.measure(sample._replace(**{field: spoiled})).values())).all()
    assert np.isnan(list(t.measure(t.Sample(*(rows[:1] for rows in sample))).values())).all()
