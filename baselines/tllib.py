"""How Transfer-Learning-Library trains on Office-31, as data: its forms of methods, and its scripts' settings.

Source: github.com/thuml/Transfer-Learning-Library, examples/domain_adaptation/image_classification: its scripts, and
the defaults of what they leave out.
"""

from typing import Any, NamedTuple

import da_bench as da
from da_bench.methods import METHODS, Method

FIVE = (0.25, 0.5, 1.0, 2.0, 4.0)  # bandwidths, as multiples of the mean squared distance
BATCH = 32  # rows of each domain


class Setting(NamedTuple):
    """One method's training.

    rate: initial learning rate of the new layers, the trunk's is a tenth; gamma: at step i the rate is divided by
    (1 + gamma i)^0.75; decay: of weights; epoch: steps after each of which it is looked at; epochs; bottleneck: units;
    batch: rows of each domain.
    """

    rate: float
    gamma: float
    decay: float
    epoch: int
    epochs: int = 20
    bottleneck: int = 256
    batch: int = BATCH


ADVERSARIAL = Setting(0.01, 0.001, 1e-3, 1000)
DISTANCE = Setting(0.003, 3e-4, 5e-4, 500)
PRETRAINED = 3  # epochs on the source before ADDA's 20
SETTINGS = {
    "source_only": Setting(0.001, 3e-4, 5e-4, 500, epochs=5),
    "dann": ADVERSARIAL,
    "adda": Setting(0.001, 3e-4, 1e-3, 1000, epochs=PRETRAINED + 20),
    "bsp": ADVERSARIAL._replace(rate=0.003),
    "mmd": DISTANCE,
    "jan": DISTANCE,
    "cdan": ADVERSARIAL,
    "mcd": Setting(0.001, 0.0, 5e-4, 500, bottleneck=1024),
    "afn": Setting(0.001, 0.0, 5e-4, 500, bottleneck=1000),
    "mdd": Setting(0.004, 2e-4, 5e-4, 1000, bottleneck=1024),
    "mcc": Setting(0.005, 0.001, 1e-3, 500, bottleneck=1024, batch=36),
    "fix_match": Setting(0.001, 4e-4, 1e-3, 1000),
}
# fields that are not a method's defaults here
FORMS: dict[str, dict[str, Any]] = {
    "dann": {"schedule": "warm_start", "domain_loss": "mean"},
    "adda": {"pretrain": PRETRAINED / (PRETRAINED + 20), "weight": 1.0, "widths": (1024, 1024)},
    "bsp": {"schedule": "warm_start", "spectral_weight": 2e-4, "domain_loss": "mean"},
    "mmd": {"weight": 5.0, "layers": ("features",), "estimator": "cyclic", "bandwidth": "mean", "factors": FIVE},
    "jan": {"schedule": "constant"},
    "cdan": {"schedule": "warm_start", "joint": "outer", "domain_loss": "mean"},
    "mcd": {"weight": 10.0},
    "afn": {"average": "domains", "entropy_weight": 0.1},
    "mdd": {"schedule": "warm_start"},
    "fix_match": {"threshold": 0.9, "perturbation": "cutout"},
}


def method(name: str, **fields: Any) -> Method:
    """The method in the suite's form; fields: of it to be otherwise."""
    made: Any = METHODS[name](**{**FORMS.get(name, {}), **fields})
    return made


def training(setting: Setting, epoch: int | None = None, **fields: Any) -> "da.Training":
    """The suite's stochastic gradient descent; epoch: its steps, None: the suite's; fields: of `Training`."""
    steps = setting.epochs * (epoch or setting.epoch)
    return da.Training(
        steps=steps,
        evaluations=setting.epochs,
        batch_size=setting.batch,
        optimizer="nesterov",
        learning_rate=setting.rate,
        decay_rate=setting.gamma * steps,
        weight_decay=setting.decay,
        trunk_rate=0.1,
        **fields,
    )
