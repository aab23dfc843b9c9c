"""What is said of published files."""

import re

import pytest

from da_bench.core.config import UserError
from da_bench.data.transforms import View
from da_bench.models import MODELS
from da_bench.models.backbone import Backbone
from da_bench.pretrained.sources import SOURCES, VIEWS, check_sha256, known, preprocessing

pytestmark = pytest.mark.usefixtures("registered")


def test_every_source_says_all_there_is_to_say():
    assert len({one.url for one in SOURCES}) == len(SOURCES)
    for one in SOURCES:
        assert one.url.startswith("https://")
        assert one.terms
        assert one.citation
        if one.convention == "torchvision":  # whose names end in the first digits of the sha256
            assert one.file.endswith(f"-{one.sha256}.pth")
            assert re.fullmatch("[0-9a-f]{8}", one.sha256)


def test_a_file_is_known_by_its_content_or_its_name():
    renamed = known("mine.pth", "11ad3fa6" + 56 * "0")
    assert renamed.file == "resnet50-11ad3fa6.pth"
    assert renamed.stored == 232  # torchvision's second weights: resized to 232, of which 224 are seen
    assert known("vgg16-397923af.pth", 64 * "0").arch == "vgg16"
    assert known("mine.pth", 64 * "0") is None
    assert known("model.safetensors", 64 * "0") is None  # as every file of its publisher is called


def test_sums_are_held():
    check_sha256("resnet50-11ad3fa6.pth", "11ad3fa6" + 56 * "0")
    check_sha256("mine.pth", 64 * "0")
    with pytest.raises(UserError, match="starts with 00000000, not with 11ad3fa6 as published"):
        check_sha256("resnet50-11ad3fa6.pth", 64 * "0")
    with pytest.raises(UserError, match="not with 5d3137241276 as published"):
        check_sha256("tf2_mobilenet_v2_1.0_224_ptq.tflite", 64 * "0")


def test_preprocessing_follows_the_file_and_is_never_guessed():
    assert preprocessing("vgg16", "keras", None) == "caffe"
    assert preprocessing("vgg16", "torchvision", None) == "imagenet"
    (source,) = (one for one in SOURCES if one.arch == "xception")
    assert preprocessing("xception", "keras", source) == "inception"
    with pytest.raises(UserError, match="was trained with preprocessing 'inception', not with 'imagenet'"):
        preprocessing("xception", "keras", source, "imagenet")
    assert preprocessing("vit_b16", "torchvision_linear", None) == "imagenet"
    assert preprocessing("resnet50", "keras", None) == "caffe"
    for arch, convention in (("resnet50", "timm"), ("vit_b16", "huggingface_vit_bare")):
        with pytest.raises(UserError, match="is not known: give --preprocessing"):
            preprocessing(arch, convention, None)


def test_views_differ_only_in_what_the_networks_saw():
    assert VIEWS["imagenet"] == View(resize="centre")
    assert VIEWS["inception"].mean == VIEWS["inception"].std == (0.5, 0.5, 0.5)
    assert VIEWS["caffe"].channels == "bgr"


EVERY = dict(MODELS)  # before the other tests' networks take their place


def test_every_source_is_of_a_network_there_is_and_every_network_has_one():
    archs = {name for name, cls in EVERY.items() if issubclass(cls, Backbone)}
    there = {one.arch for one in SOURCES}
    assert there == archs
