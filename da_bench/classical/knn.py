"""Nearest neighbours without adaptation: what the subspace and transport methods are without theirs."""

from da_bench.classical.common import Fitted, Normalise, Scaling, checked, nearest, scalers
from da_bench.core.config import Count, UserError, field
from da_bench.core.types import Array
from da_bench.methods import ClassicalMethod, register
from da_bench.methods.base import Classifier


@register
class NearestNeighbour(ClassicalMethod):
    """The vote of the k nearest rows of the source.

    k: how many. Log-probabilities are those of the k votes and of one more, spread over all classes of the source:
    without it, one neighbour's would be minus infinity for all classes but its own. normalise: "l1" or "l2" divides
    each row by that norm first. scaling: "source" standardises all rows by the source's means and deviations, "each"
    either domain by its own, as the tables of classical methods do also of what they call no adaptation, "none"
    neither. But for "each" the target inputs are not used.
    """

    adapts = False

    k: Count = 1
    normalise: Normalise = field(default="none", since="0.1")
    scaling: Scaling = field(default="source", since="0.1")

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on source [n, d], labels [n] and, for `scaling` "each", target [m, d].

        Raises:
            UserError: inputs that are not finite, a source of one class, or of fewer than k rows.
        """
        given = checked(self.name, source_inputs, source_labels, target_inputs)
        if self.k > len(given.source):
            raise UserError(
                f"NearestNeighbour.k = {self.k} is more than the source's {len(given.source)} training rows"
            )
        of_source, of_target = scalers(given, self.normalise, self.scaling)
        return Fitted(of_target, nearest(of_source(given.source), given.labels, self.k))
