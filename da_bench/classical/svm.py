"""A linear support vector machine without adaptation."""

from typing import Literal

from da_bench.classical._classifiers import fit_hinge_svm, fit_linear_svm
from da_bench.classical._preprocessing import Normalise, Scaling, fit_scalers, validate_rows
from da_bench.classical.base import FittedClassifier
from da_bench.core.config import Positive, UserError, field
from da_bench.core.types import Array
from da_bench.methods import ClassicalMethod, register
from da_bench.methods.base import Classifier

MAX_HINGE_ROWS = 20_000  # their inner products take 3 GB


@register(adapts=False)
class Svm(ClassicalMethod):
    """One-vs-rest linear SVM on the source, without adaptation.

    Margins are not probabilities. Validators that need probabilities read the softmax of the margins, which ranks the
    classes as the SVM does but is not calibrated.

    Args:
        c: inverse strength of the L2 penalty (scikit-learn's C), positive.
        normalise: norm by which each row is divided first: "l1", "l2" or "none".
        scaling: "source" standardises both domains by the statistics of the source; "each" standardises each domain by
            its own; "none" does not standardise, as is customary for word counts. Target inputs are used with "each"
            only.
        loss: loss of the margins. "squared_hinge" also penalises the bias, as LIBLINEAR does by default; "hinge" does
            not, as LIBSVM does.

    References:
        Chang and Lin, LIBSVM: A Library for Support Vector Machines, ACM TIST 2(3), 2011, Eq. 1.
    """

    max_width = 100_000  # it needs no matrix of columns

    c: Positive = 1.0
    normalise: Normalise = field(default="none", since="0.1")
    scaling: Scaling = field(default="source", since="0.1")
    loss: Literal["squared_hinge", "hinge"] = field(default="squared_hinge", since="0.1")

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on labelled source rows.

        Args:
            source_inputs: inputs of the source [n, d].
            source_labels: labels of the source [n].
            target_inputs: inputs of the target [m, d], used with `scaling` "each" only.

        Returns:
            The fitted classifier.

        Raises:
            UserError: an input is not finite, the source has only one class, or more than 20000 rows with `loss`
                "hinge".
        """
        if self.loss == "hinge" and len(source_inputs) > MAX_HINGE_ROWS:
            raise UserError(
                f'Svm.loss = "hinge" compares all pairs of training rows and accepts at most {MAX_HINGE_ROWS}; the '
                f'source has {len(source_inputs)}. Use "squared_hinge"'
            )
        rows = validate_rows(self.name, source_inputs, source_labels, target_inputs)
        scale_source, scale_target = fit_scalers(rows, self.normalise, self.scaling)
        fit = fit_hinge_svm if self.loss == "hinge" else fit_linear_svm
        return FittedClassifier(scale_target, fit(scale_source(rows.source), rows.labels, self.c))
