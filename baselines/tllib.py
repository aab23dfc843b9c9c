"""The protocol of Transfer-Learning-Library on Office-31: its forms of the methods and its training settings.

Source: github.com/thuml/Transfer-Learning-Library, the scripts in examples/domain_adaptation/image_classification and
the defaults of what they do not set.
"""

from typing import Any, NamedTuple

import da_bench as da
from da_bench.methods import METHODS, Method

FIVE_BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # as multiples of the mean squared distance


class TrainingSettings(NamedTuple):
    """How the suite trains one method.

    Attributes:
        learning_rate: initial learning rate of the new layers; that of the trunk is a tenth.
        gamma: at step i, the learning rate is divided by (1 + gamma i)^0.75.
        weight_decay: weight decay.
        epoch_steps: steps of an epoch, after which the model is evaluated.
        epochs: number of epochs.
        bottleneck: units of the bottleneck layer.
        batch_size: rows of each domain in a batch.
    """

    learning_rate: float
    gamma: float
    weight_decay: float
    epoch_steps: int
    epochs: int = 20
    bottleneck: int = 256
    batch_size: int = 32


ADVERSARIAL = TrainingSettings(0.01, 0.001, 1e-3, 1000)
DISCREPANCY = TrainingSettings(0.003, 3e-4, 5e-4, 500)
PRETRAINING_EPOCHS = 3  # on the source, before ADDA's 20
TRAINING_SETTINGS = {
    "source_only": TrainingSettings(0.001, 3e-4, 5e-4, 500, epochs=5),
    "dann": ADVERSARIAL,
    "adda": TrainingSettings(0.001, 3e-4, 1e-3, 1000, epochs=PRETRAINING_EPOCHS + 20),
    "bsp": ADVERSARIAL._replace(learning_rate=0.003),
    "mmd": DISCREPANCY,
    "jan": DISCREPANCY,
    "cdan": ADVERSARIAL,
    "mcd": TrainingSettings(0.001, 0.0, 5e-4, 500, bottleneck=1024),
    "afn": TrainingSettings(0.001, 0.0, 5e-4, 500, bottleneck=1000),
    "mdd": TrainingSettings(0.004, 2e-4, 5e-4, 1000, bottleneck=1024),
    "mcc": TrainingSettings(0.005, 0.001, 1e-3, 500, bottleneck=1024, batch_size=36),
    "fix_match": TrainingSettings(0.001, 4e-4, 1e-3, 1000),
}
METHOD_FIELDS: dict[str, dict[str, Any]] = {  # where the suite differs from a method's defaults
    "dann": {"schedule": "warm_start", "domain_loss": "mean"},
    "adda": {"pretrain": PRETRAINING_EPOCHS / (PRETRAINING_EPOCHS + 20), "weight": 1.0, "widths": (1024, 1024)},
    "bsp": {"schedule": "warm_start", "spectral_weight": 2e-4, "domain_loss": "mean"},
    "mmd": {
        "weight": 5.0,
        "layers": ("features",),
        "estimator": "cyclic",
        "bandwidth": "mean",
        "factors": FIVE_BANDWIDTHS,
    },
    "jan": {"schedule": "constant"},
    "cdan": {"schedule": "warm_start", "joint": "outer", "domain_loss": "mean"},
    "mcd": {"weight": 10.0},
    "afn": {"average": "domains", "entropy_weight": 0.1},
    "mdd": {"schedule": "warm_start"},
    "fix_match": {"threshold": 0.9, "perturbation": "cutout"},
}


def method(name: str, **fields: Any) -> Method:
    """A method in the form of the suite.

    Args:
        name: registered name of the method.
        **fields: fields that override those of the suite.

    Returns:
        The method.
    """
    cls: Any = METHODS[name]
    return cls(**{**METHOD_FIELDS.get(name, {}), **fields})


def training(settings: TrainingSettings, epoch_steps: int | None = None, **fields: Any) -> "da.Training":
    """The suite's stochastic gradient descent.

    Args:
        settings: settings of the method.
        epoch_steps: steps of an epoch; None: those of the settings.
        **fields: further fields of `Training`.

    Returns:
        The training settings.
    """
    steps = settings.epochs * (epoch_steps or settings.epoch_steps)
    return da.Training(
        steps=steps,
        evaluations=settings.epochs,
        batch_size=settings.batch_size,
        optimizer="nesterov",
        learning_rate=settings.learning_rate,
        decay_rate=settings.gamma * steps,
        weight_decay=settings.weight_decay,
        trunk_rate=0.1,
        **fields,
    )
