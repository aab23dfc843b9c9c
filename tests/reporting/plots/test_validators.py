"""Figure of accuracy over validator scores."""

import pytest

from da_bench.reporting.plots.validators import plot_validators
from tests.helpers import fake


def test_scores_are_scattered_with_their_rank_correlation():
    first, second = plot_validators(fake.runs([0.5, 0.6, 0.7])).axes
    assert "rho +1.00" in first.get_xlabel()
    (points,) = first.lines
    assert len(points.get_xdata()) == 30
    assert points.get_ydata() == pytest.approx(100 * points.get_xdata())  # the fake's score is the accuracy
    assert "source validation" in second.get_xlabel()
    assert plot_validators([fake.record(status="skipped", reason="no")]) is None
