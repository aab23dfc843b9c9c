"""Published files of weights: where users get them, and how their networks were trained.

The sha256 is given as far as it is known beforehand; torchvision's file names end with its first eight digits.
"""

import re
from typing import Literal, NamedTuple, get_args

from da_bench.core.config import UserError
from da_bench.data.transforms import View

Preprocessing = Literal["imagenet", "caffe", "inception", "none"]
VIEWS = {
    "imagenet": View(resize="centre"),
    # He et al., and Simonyan and Zisserman: ImageNet's means of blue, green and red are subtracted, without scaling
    "caffe": View(
        resize="centre",
        channels="bgr",
        mean=(103.939 / 255, 116.779 / 255, 123.68 / 255),
        std=(1 / 255, 1 / 255, 1 / 255),
    ),
    "inception": View(resize="centre", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),  # values in [-1, 1]
}
BSD = "BSD-3-Clause (torchvision); trained on ImageNet, whose images are for non-commercial research"
MIT = "MIT (Keras applications, ported from the authors' releases); trained on ImageNet, as above"
APACHE = "Apache-2.0; trained on ImageNet, whose images are for non-commercial research"
KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"


class Source(NamedTuple):
    """A published file.

    Attributes:
        arch: registered name of the network.
        convention: of the names in the file, such as "torchvision".
        url: where to download it.
        preprocessing: how images were prepared in training.
        terms: license.
        citation: paper of the network.
        sha256: its first digits; "" if they are not known beforehand.
        stored: side in pixels to which images are resized before the crop; None: 8/7 of the network's input.
    """

    arch: str
    convention: str
    url: str
    preprocessing: Preprocessing
    terms: str
    citation: str
    sha256: str = ""
    stored: int | None = None

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]


CITATIONS = {
    "resnet": "He, Zhang, Ren, Sun. Deep Residual Learning for Image Recognition. CVPR 2016",
    "vgg": "Simonyan, Zisserman. Very Deep Convolutional Networks for Large-Scale Image Recognition. ICLR 2015",
    "squeezenet": "Iandola et al. SqueezeNet: AlexNet-level accuracy with 50x fewer parameters. arXiv:1602.07360",
    "mobilenet_v2": "Sandler et al. MobileNetV2: Inverted Residuals and Linear Bottlenecks. CVPR 2018",
    "inception_v3": "Szegedy et al. Rethinking the Inception Architecture for Computer Vision. CVPR 2016",
    "xception": "Chollet. Xception: Deep Learning with Depthwise Separable Convolutions. CVPR 2017",
    "vit": "Dosovitskiy et al. An Image is Worth 16x16 Words. ICLR 2021",
    "bert": "Devlin et al. BERT: Pre-training of Deep Bidirectional Transformers. NAACL 2019",
}


def citation(arch: str) -> str:
    """Paper of a network, "" if it is not known here."""
    return next((text for start, text in CITATIONS.items() if arch.startswith(start)), "")


def _torchvision(arch: str, digits: str, stored: int | None = None, stem: str = "") -> Source:
    url = f"https://download.pytorch.org/models/{stem or arch}-{digits}.pth"
    return Source(arch, "torchvision", url, "imagenet", BSD, citation(arch), digits, stored)


def _keras(arch: str, path: str, preprocessing: Preprocessing, terms: str = MIT) -> Source:
    return Source(arch, "keras", f"{KERAS}/{path}", preprocessing, terms, citation(arch))


def _hub(arch: str, convention: str, repository: str, preprocessing: Preprocessing, terms: str = APACHE) -> Source:
    url = f"https://huggingface.co/{repository}/resolve/main/model.safetensors"
    return Source(arch, convention, url, preprocessing, terms, citation(arch))


TF, NOTOP = "weights_tf_dim_ordering_tf_kernels", "weights_tf_dim_ordering_tf_kernels_notop"
SOURCES: tuple[Source, ...] = (
    _torchvision("resnet18", "f37072fd"),
    _torchvision("resnet34", "b627a593"),
    _torchvision("resnet50", "0676ba61"),
    _torchvision("resnet50", "11ad3fa6", stored=232),
    _torchvision("resnet101", "63fe2227"),
    _torchvision("resnet101", "cd907fc2", stored=232),
    _torchvision("resnet152", "394f9c45"),
    _torchvision("resnet152", "f82ba261", stored=232),
    *(_keras(f"resnet{depth}", f"resnet/resnet{depth}_{TF}.h5", "caffe") for depth in (50, 101, 152)),
    _torchvision("vgg11", "8a719046"),
    _torchvision("vgg11_bn", "6002323d"),
    _torchvision("vgg13", "19584684"),
    _torchvision("vgg13_bn", "abd245e5"),
    _torchvision("vgg16", "397923af"),
    _torchvision("vgg16_bn", "6c64b313"),
    _torchvision("vgg19", "dcbb9e9d"),
    _torchvision("vgg19_bn", "c79401a0"),
    _keras("vgg16", f"vgg16/vgg16_{TF}.h5", "caffe", "CC BY 4.0 (Visual Geometry Group); trained on ImageNet"),
    _keras("vgg19", f"vgg19/vgg19_{TF}.h5", "caffe", "CC BY 4.0 (Visual Geometry Group); trained on ImageNet"),
    _torchvision("squeezenet", "b8a52dc0", stem="squeezenet1_1"),
    Source(
        "squeezenet",
        "keras",
        "https://github.com/rcmalli/keras-squeezenet/releases/download/v1.0/squeezenet_v1.1_" + NOTOP + ".h5",
        "caffe",
        "MIT (R. C. Malli); trained on ImageNet, whose images are for non-commercial research",
        citation("squeezenet"),
        "2d935d8c102a",
    ),
    _torchvision("mobilenet_v2", "b0353104"),
    _torchvision("mobilenet_v2", "7ebf99e0", stored=232),
    _keras("mobilenet_v2", "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5", "inception"),
    Source(
        "mobilenet_v2",
        "keras",
        "https://raw.githubusercontent.com/google-coral/test_data/master/tf2_mobilenet_v2_1.0_224_ptq.tflite",
        "inception",
        APACHE,
        citation("mobilenet_v2"),
        "5d3137241276",
    ),
    _torchvision("inception_v3", "0cc3c7bd", stem="inception_v3_google"),
    _keras("inception_v3", f"inception_v3/inception_v3_{TF}.h5", "inception"),
    _keras("xception", f"xception/xception_{TF}.h5", "inception"),
    _hub("vit_s16", "timm", "timm/vit_small_patch16_224.augreg_in21k_ft_in1k", "inception"),
    _hub("vit_b16", "timm", "timm/vit_base_patch16_224.augreg2_in21k_ft_in1k", "inception"),
    _torchvision("vit_b16", "c867db91", stem="vit_b_16"),
    _hub("vit_b16", "huggingface_vit", "google/vit-base-patch16-224", "inception"),
    _hub("vit_b16", "huggingface_vit_bare", "google/vit-base-patch16-224-in21k", "inception"),
    _hub("bert", "huggingface", "google-bert/bert-base-uncased", "none", "Apache-2.0"),
)


# conventions with different preprocessing for files of the same network
AMBIGUOUS_CONVENTIONS = ("timm", "huggingface_vit")


def known(file: str, sha256: str) -> Source | None:
    """Find the source of a file by its sha256, or by its name if no other source has a file of that name."""
    by_sha256 = [source for source in SOURCES if source.sha256 and sha256.startswith(source.sha256)]
    by_name = [source for source in SOURCES if source.file == file]
    return by_sha256[0] if by_sha256 else by_name[0] if len(by_name) == 1 else None


def check_sha256(file: str, sha256: str, wanted: str = "") -> None:
    """Compare a file's sha256 with what is known about it.

    Args:
        file: its name.
        sha256: of its content.
        wanted: first digits that the user gives; "": those of the source with this name, or in the name itself.

    Raises:
        UserError: it is another.
    """
    in_name = re.search(r"-([0-9a-f]{8,64})\.pth$", file)
    of_source = next((source.sha256 for source in SOURCES if source.file == file), "")
    start = wanted.lower() or of_source or (in_name[1] if in_name else "")
    if not sha256.startswith(start):
        raise UserError(
            f"the sha256 of the weights '{file}' starts with {sha256[: max(len(start), 8)]}, not with {start} as "
            f"{'given by --sha256' if wanted else 'published'}: the file is truncated, damaged or another one; "
            "download it again"
        )


def preprocessing(arch: str, convention: str, source: Source | None, requested: str = "") -> str:
    """How images must be prepared for a file, one of `Preprocessing`.

    Args:
        arch: registered name of the network.
        convention: of the names in the file.
        source: of the file, None if it is not a known one.
        requested: what the user gives, "" for nothing.

    Raises:
        UserError: it cannot be derived from the file, or the user's value contradicts the source.
    """
    values = get_args(Preprocessing)
    if requested and requested not in values:
        raise UserError(f"unknown preprocessing '{requested}'; the choices are {', '.join(values)}")
    if source and requested and requested != source.preprocessing:
        raise UserError(
            f"'{source.file}' was trained with preprocessing '{source.preprocessing}', not with '{requested}'"
        )
    if source or requested:
        return source.preprocessing if source else requested
    similar = {
        other.preprocessing for other in SOURCES if other.arch == arch and convention.startswith(other.convention)
    }
    if convention.startswith(AMBIGUOUS_CONVENTIONS) or len(similar) != 1:
        raise UserError(
            f"how images are prepared for these {convention} weights of '{arch}' is not known: give --preprocessing "
            f"{' or '.join(values)}, as in their training"
        )
    return similar.pop()
