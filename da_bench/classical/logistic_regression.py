"""Logistic regression without adaptation: the reference for CORAL and reweighting methods."""

from da_bench.classical._classifiers import fit_logistic_regression
from da_bench.classical._preprocessing import fit_standardiser, validate_rows
from da_bench.classical.base import FittedClassifier
from da_bench.core.config import Positive
from da_bench.core.types import Array
from da_bench.methods import ClassicalMethod, register
from da_bench.methods.base import Classifier


@register(adapts=False)
class LogisticRegression(ClassicalMethod):
    """Multinomial logistic regression on the standardised source: `ShallowCoral` without the alignment.

    Args:
        c: inverse strength of the L2 penalty (scikit-learn's C), positive.
    """

    c: Positive = 1.0

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on labelled source rows.

        Args:
            source_inputs: inputs of the source [n, d].
            source_labels: labels of the source [n].
            target_inputs: inputs of the target [m, d], not used.

        Returns:
            The fitted classifier.

        Raises:
            UserError: an input is not finite, or the source has only one class.
        """
        source, labels, _ = validate_rows(self.name, source_inputs, source_labels, target_inputs)
        scale = fit_standardiser(source)
        return FittedClassifier(scale, fit_logistic_regression(scale(source), labels, self.c))
