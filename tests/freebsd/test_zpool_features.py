"""The features of a pool, from the output of the real zpool."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zrwizard.freebsd import zpool_features
from zrwizard.freebsd.errors import ParseError
from zrwizard.freebsd.zpool_features import Feature

RECORDED = Path(__file__).parents[1] / "rehearsal" / "recorded.json"


def recorded() -> str:
    """The rows of a real `zpool get all`, in the form of `-Hp -o property,value`."""
    entries = json.loads(RECORDED.read_text())
    table = next(one["stdout"] for one in entries if one["cmd"] == "zpool get all zroot")
    rows = [line.split() for line in table.splitlines()[1:]]
    return "".join(f"{row[1]}\t{row[2]}\n" for row in rows)


def test_a_real_pool() -> None:
    features = zpool_features.parse(recorded())
    assert len(features) == recorded().count("feature@")
    assert features["lz4_compress"] is Feature.ACTIVE
    assert features["large_blocks"] is Feature.ENABLED
    assert features["zstd_compress"].on
    assert not Feature.DISABLED.on


def test_the_command() -> None:
    assert zpool_features.get("my pool") == ("zpool get -Hp -o property,value all 'my pool'")


@pytest.mark.parametrize(
    "output",
    ["", "size\t3\n", "feature@x\ton\n", "feature@x\n", "feature@x\tactive\t-\n"],
    ids=["nothing", "no feature", "no state", "one column", "three columns"],
)
def test_what_is_none(output: str) -> None:
    with pytest.raises(ParseError):
        zpool_features.parse(output)


@given(st.text() | st.from_regex(r"(feature@[a-z]+\t(active|on)\n)+"))
def test_features_or_its_own_error(output: str) -> None:
    try:
        assert zpool_features.parse(output)
    except ParseError:
        return
