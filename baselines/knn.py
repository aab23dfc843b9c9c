"""Nearest neighbours without adaptation: what the subspace and transport methods are without theirs."""

from baselines.common import Fitted, checked, nearest, standardiser
from da_bench.methods import Shallow, register
from da_bench.methods.base import Classifier
from da_bench.settings import Count, UserError
from da_bench.types import Array


@register
class NearestNeighbour(Shallow):
    """The vote of the k nearest rows of the standardised source. The target inputs are not used.

    k: how many. Log-probabilities are those of the k votes and of one more, spread over all classes of the source:
    without it, one neighbour's would be minus infinity for all classes but its own.
    """

    adapts = False

    k: Count = 1

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on source [n, d], labels [n].

        Raises:
            UserError: inputs that are not finite, a source of one class, or of fewer than k rows.
        """
        source, labels, _ = checked(self.name, source_inputs, source_labels, target_inputs)
        if self.k > len(source):
            raise UserError(f"NearestNeighbour.k = {self.k} is more than the source's {len(source)} training rows")
        scale = standardiser(source)
        return Fitted(scale, nearest(scale(source), labels, self.k))
