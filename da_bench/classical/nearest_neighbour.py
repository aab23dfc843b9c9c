"""k nearest neighbours without adaptation: the reference for subspace and transport methods."""

from da_bench.classical._classifiers import fit_nearest_neighbours
from da_bench.classical._preprocessing import Normalise, Scaling, fit_scalers, validate_rows
from da_bench.classical.base import FittedClassifier
from da_bench.core.config import Count, UserError, field
from da_bench.core.types import Array
from da_bench.methods import ClassicalMethod, register
from da_bench.methods.base import Classifier


@register(adapts=False)
class NearestNeighbour(ClassicalMethod):
    """k-nearest-neighbour classifier of the source rows, without adaptation.

    Log-probabilities are those of the k votes and one more that is spread over all classes of the source. Without it, a
    single neighbour would give all other classes a log-probability of minus infinity.

    Args:
        k: number of neighbours, at least 1.
        normalise: norm by which each row is divided first: "l1", "l2" or "none".
        scaling: "source" standardises both domains by the statistics of the source; "each" standardises each domain by
            its own, as tables of classical methods do even for what they call no adaptation; "none" does not
            standardise. Target inputs are used with "each" only.
    """

    k: Count = 1
    normalise: Normalise = field(default="none", since="0.1")
    scaling: Scaling = field(default="source", since="0.1")

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on labelled source rows.

        Args:
            source_inputs: inputs of the source [n, d].
            source_labels: labels of the source [n].
            target_inputs: inputs of the target [m, d], used with `scaling` "each" only.

        Returns:
            The fitted classifier.

        Raises:
            UserError: an input is not finite, or the source has only one class or fewer than k rows.
        """
        rows = validate_rows(self.name, source_inputs, source_labels, target_inputs)
        if self.k > len(rows.source):
            raise UserError(
                f"NearestNeighbour.k = {self.k} is more than the {len(rows.source)} training rows of the source; "
                "reduce k"
            )
        scale_source, scale_target = fit_scalers(rows, self.normalise, self.scaling)
        return FittedClassifier(scale_target, fit_nearest_neighbours(scale_source(rows.source), rows.labels, self.k))
