"""Known published files and their preprocessing."""

import re

import pytest

from da_bench.core.config import UserError
from da_bench.data.transforms import View
from da_bench.models import MODELS
from da_bench.models.backbone import Backbone
from da_bench.pretrained.sources import SOURCES, VIEWS, check_sha256, known, preprocessing

pytestmark = pytest.mark.usefixtures("registered")


def test_every_source_is_complete():
    assert len({entry.url for entry in SOURCES}) == len(SOURCES)
    for entry in SOURCES:
        assert entry.url.startswith("https://")
        assert entry.terms
        assert entry.citation
        if entry.convention == "torchvision":  # its file names end with the first digits of the sha256
            assert entry.file.endswith(f"-{entry.sha256}.pth")
            assert re.fullmatch("[0-9a-f]{8}", entry.sha256)


def test_a_file_is_recognised_by_content_or_name():
    renamed = known("mine.pth", "11ad3fa6" + 56 * "0")
    assert renamed.file == "resnet50-11ad3fa6.pth"
    assert renamed.stored == 232  # torchvision's second weights: resized to 232 pixels, cropped to 224
    assert known("vgg16-397923af.pth", 64 * "0").arch == "vgg16"
    assert known("mine.pth", 64 * "0") is None
    assert known("model.safetensors", 64 * "0") is None  # all files of its publisher have this name


def test_sha256_sums_are_checked():
    check_sha256("resnet50-11ad3fa6.pth", "11ad3fa6" + 56 * "0")
    check_sha256("mine.pth", 64 * "0")
    with pytest.raises(UserError, match="starts with 00000000, not with 11ad3fa6 as published"):
        check_sha256("resnet50-11ad3fa6.pth", 64 * "0")
    with pytest.raises(UserError, match="not with 5d3137241276 as published"):
        check_sha256("tf2_mobilenet_v2_1.0_224_ptq.tflite", 64 * "0")


def test_preprocessing_follows_the_file_and_is_never_guessed():
    assert preprocessing("vgg16", "keras", None) == "caffe"
    assert preprocessing("vgg16", "torchvision", None) == "imagenet"
    (source,) = (entry for entry in SOURCES if entry.arch == "xception")
    assert preprocessing("xception", "keras", source) == "inception"
    with pytest.raises(UserError, match="was trained with preprocessing 'inception', not with 'imagenet'"):
        preprocessing("xception", "keras", source, "imagenet")
    assert preprocessing("vit_b16", "torchvision_linear", None) == "imagenet"
    assert preprocessing("resnet50", "keras", None) == "caffe"
    for arch, convention in (("resnet50", "timm"), ("vit_b16", "huggingface_vit_bare")):
        with pytest.raises(UserError, match="is not known: give --preprocessing"):
            preprocessing(arch, convention, None)


def test_views_differ_only_in_channels_mean_and_deviation():
    assert VIEWS["imagenet"] == View(resize="centre")
    assert VIEWS["inception"].mean == VIEWS["inception"].std == (0.5, 0.5, 0.5)
    assert VIEWS["caffe"].channels == "bgr"


ALL_MODELS = dict(MODELS)  # before the fixture replaces them


def test_sources_and_networks_match():
    archs = {name for name, cls in ALL_MODELS.items() if issubclass(cls, Backbone)}
    sources = {entry.arch for entry in SOURCES}
    assert sources == archs
