"""Strict JSON compared with two other parsers, and archives with false headers."""

import io
import json
import struct
import time
import zipfile

import numpy as np
import pydantic_core
import pytest

from da_bench.core.strict_json import JSON_BYTES, Archive, Limits, StrictError, strict_json

LIMITS = Limits(members=3, each=1000, all=2000)
GOOD = [
    b"{}", b"[]", b"null", b"true", b'"a"', b"0", b"-1.5e3", b'{"a":{"b":[1,2,{"c":null}]}}', b'"\\ud83d\\ude00"',
    b"[" * 20 + b"]" * 20, '"é→\u2028"'.encode(), b'{"a":"[[[[[[[[[[[[[[[[[[[[[[[[["}', b"9223372036854775807",
    b" [ ] \n",
]  # fmt: skip
BAD = [
    b"", b"NaN", b"[Infinity]", b"-Infinity", b"1e400", b"-1e999", b'{"a":1,"a":2}', b'{"a":{"b":1,"b":1}}', b"[1,]",
    b"{'a':1}", b"01", b"1.", b"+1", b"[" * 21 + b"]" * 21, b"[" * 200_000, b'{"a":' * 5000, b'"\\ud800"',
    b'{"\\udc00":1}', b'"' + b"a" * JSON_BYTES,
    b"\xff", b"\xef\xbb\xbf{}", b'"\x01"', b'"a', b"9" * 5000, b"9223372036854775808", b"{} {}",
    b"// no\n1", b"tru", b'{"a"}', b"\x00", b'"\\x41"', b"[1 2]",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_valid_json_is_read_as_by_two_other_parsers(text):
    assert strict_json(text, "it") == json.loads(text) == pydantic_core.from_json(text, allow_inf_nan=False)


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_json_that_parsers_disagree_on_is_refused(text):
    with pytest.raises(StrictError, match=r"^it: .*; write it"):
        strict_json(text, "it")


def test_an_unterminated_string_is_refused_in_linear_time():
    """A pattern that restarts at every quote would take minutes."""
    start = time.process_time()
    for text in (b'"' + b'\\"' * 500_000, b'"\\' * 500_000, b'["' * 300_000):
        with pytest.raises(StrictError):
            strict_json(text, "it")
    assert time.process_time() - start < 5


def pairs_of(value):
    """Every object of a parsed text as a list of its pairs."""
    if isinstance(value, tuple):
        yield value[1]
        for _, inner in value[1]:
            yield from pairs_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from pairs_of(inner)


def depth_of(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


SEED_TEXT = json.dumps(
    {"schema": 1, "name": "DANN", "rules": {"last": {"a": 0.5, "b": [1, 2.5, None, True]}}, "é": '\\"\n'}
).encode()
TOKENS = [
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"NaN", b"1e999", b"-", b"\xff", b"\\ud800", b'"a":1,', b"null",
    b"Infinity", b"0", b"\x00", b"[[[[[[[[[[[[", b'"name":2,', b"\xc3", b"9999999999999999999",
]  # fmt: skip


def mutant(text, generator):
    """Insert, delete, change or repeat bytes or tokens, one to four times."""
    text = bytearray(text)
    for _ in range(generator.integers(1, 5)):
        at = int(generator.integers(0, len(text) + 1))
        kind = generator.integers(0, 5)
        if kind == 0:
            text[at:at] = TOKENS[generator.integers(len(TOKENS))]
        elif kind == 1:
            del text[at : at + int(generator.integers(1, 12))]
        elif kind == 2 and at < len(text):
            text[at] = int(generator.integers(0, 256))
        elif kind == 3:
            text[at:at] = text[at : at + int(generator.integers(1, 40))]
        elif at < len(text):
            text[at] ^= 1 << int(generator.integers(0, 8))
    return bytes(text)


def fuzz_json(count, seed):
    """Count the accepted mutants. Another parser must read the same value from each of them."""
    generator, accepted = np.random.default_rng(seed), 0
    for _ in range(count):
        text = mutant(SEED_TEXT, generator)
        try:
            value = strict_json(text, "it")
        except StrictError:
            continue
        accepted += 1
        assert pydantic_core.from_json(text, allow_inf_nan=False) == value, text
        with_pairs = json.loads(text, object_pairs_hook=lambda pairs: ("object", pairs))
        assert all(len({key for key, _ in pairs}) == len(pairs) for pairs in pairs_of(with_pairs)), text
        assert depth_of(value) <= 20
        value_text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        assert value_text.encode()
    return accepted


def test_two_thousand_mutated_texts():
    assert 50 < fuzz_json(2000, 0) < 1500  # some are accepted, some refused


@pytest.mark.slow
def test_eighty_thousand_mutated_texts():
    assert fuzz_json(80_000, 1) > 1000


def zipped(members, **options):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **({"compression": zipfile.ZIP_DEFLATED} | options)) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file


def test_members_of_an_archive_can_be_read():
    archive = Archive(zipped([("a", b"x" * 900), ("b", b"")]), "it", LIMITS)
    assert archive.names == ["a", "b"]
    assert archive.read("a") == b"x" * 900


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "options", "message"),
    [
        ([(str(i), b"") for i in range(4)], {}, "more than 3 files"),
        ([("a", b"1"), ("a", b"2")], {}, "twice"),
        ([("a", b"x" * 1001)], {}, "more than 1000 bytes"),
        ([(str(i), b"x" * 900) for i in range(3)], {}, "more than 2000 bytes unpacked"),
        ([("a", b"x")], {"compression": zipfile.ZIP_BZIP2}, "another method"),
        ([("a", b"x")], {"compression": zipfile.ZIP_LZMA}, "another method"),
    ],
)
def test_an_archive_beyond_the_limits_is_refused_before_unpacking(members, options, message):
    with pytest.raises(StrictError, match=message):
        Archive(zipped(members, **options), "it", LIMITS)


def test_a_member_with_a_false_length_is_refused():
    """The directory says 10 bytes for a member that unpacks to 900; no more than 10 are read."""
    content = zipped([("a", b"x" * 900)]).getvalue()
    for at in (content.index(b"PK\x03\x04") + 22, content.index(b"PK\x01\x02") + 24):
        content = content[:at] + struct.pack("<I", 10) + content[at + 4 :]
    with pytest.raises(StrictError):
        Archive(io.BytesIO(content), "it", LIMITS).read("a")


def test_an_encrypted_member_is_refused():
    content = bytearray(zipped([("a", b"x")]).getvalue())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(StrictError, match="encrypted"):
        Archive(io.BytesIO(content), "it", LIMITS)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + b"\xff" * 18, b"no archive at all"])
def test_a_file_that_is_not_an_archive_is_refused(content):
    with pytest.raises(StrictError, match="no zip archive"):
        Archive(io.BytesIO(content), "it", LIMITS)
