"""What classical methods have in common: the fitted classifier, and the base class of methods that align inputs.

To add a classical method, write a class under `@register` in a file of this folder and import it in `__init__.py`.
Derive it from `AlignmentMethod` if it maps both domains into one space, else from `ClassicalMethod`.
"""

import abc
import dataclasses
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.special

from da_bench.classical._classifiers import DecisionFunction, FinalClassifier, fit_classifier
from da_bench.classical._preprocessing import (
    Normalise,
    TrainingRows,
    Transform,
    fit_scalers,
    fit_span_projection,
    validate_rows,
)
from da_bench.core.config import UserError, config_dataclass
from da_bench.core.types import Array
from da_bench.methods import ClassicalMethod
from da_bench.methods.base import Classifier


@dataclasses.dataclass(frozen=True)
class FittedClassifier:
    """A fitted method.

    Attributes:
        transform: map of new target inputs [n, d] to the space of the final classifier [n, k].
        scores: the final classifier, from rows [n, k] to scores [n, c].
    """

    transform: Transform
    scores: DecisionFunction

    def predict_log_proba(self, inputs: Any) -> np.ndarray:
        """Log-probabilities of classes.

        Args:
            inputs: inputs of the target [n, d].

        Returns:
            Finite log-probabilities [n, c], where c is the largest source label plus one.
        """
        scores = self.scores(self.transform(np.asarray(inputs, np.float64)))
        return scipy.special.log_softmax(scores, axis=1)

    def predict(self, inputs: Any) -> np.ndarray:
        """Predicted labels [n] of inputs of the target [n, d]."""
        return self.predict_log_proba(inputs).argmax(axis=1)


class Alignment(NamedTuple):
    """A common space of both domains.

    Attributes:
        source: training rows of the source in the common space [n, k].
        transform: map of target rows [., d] into the common space [., k].
    """

    source: np.ndarray
    transform: Transform


@config_dataclass
class AlignmentMethod(ClassicalMethod, abc.ABC):
    """A method that maps both domains into a common space and fits a classifier on the source there.

    Args:
        normalise: norm by which each row is divided first: "l1" (sum of magnitudes, customary for histograms), "l2" or
            "none".
        scaling: "each" gives each column of each domain mean 0 and variance 1 separately, as the papers do, which
            already aligns means and scales; "none" does not.
        classifier: "1nn" (nearest source row) or "logistic" (logistic regression).
    """

    normalise: Normalise = "none"
    scaling: Literal["each", "none"] = "each"
    classifier: FinalClassifier = "1nn"

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on labelled source rows and unlabelled target rows.

        Args:
            source_inputs: inputs of the source [n, d].
            source_labels: labels of the source [n].
            target_inputs: inputs of the target [m, d].

        Returns:
            The fitted classifier of target rows.

        Raises:
            UserError: an input is not finite, the source has only one class, or the rows of a domain are all equal and
                the method needs a subspace.
        """
        rows = validate_rows(self.name, source_inputs, source_labels, target_inputs)
        scale_source, scale_target = fit_scalers(rows, self.normalise, self.scaling)
        source, target = scale_source(rows.source), scale_target(rows.target)
        project = fit_span_projection(source, target)
        alignment = self.align(TrainingRows(project(source), rows.labels, project(target)))
        if not alignment.source.shape[1]:
            raise UserError(
                f"{self.name}: the training rows of one domain are all equal and span no subspace; add different rows"
            )
        scores = fit_classifier(self.classifier, alignment.source, rows.labels)
        return FittedClassifier(lambda inputs: alignment.transform(project(scale_target(inputs))), scores)

    @abc.abstractmethod
    def align(self, rows: TrainingRows) -> Alignment:
        """Compute the common space from the scaled training rows."""
