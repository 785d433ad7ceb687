"""The transcripts' commands, run again on the simulated machines: same status, same text.

`recorded.json` is a copy of what a real FreeBSD 14.0-CURRENT answered.
"""

from __future__ import annotations

import difflib
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from zrwizard.rehearsal import Rehearsal
from zrwizard.rehearsal.geli import Keys, make
from zrwizard.rehearsal.targets import power_cycle

RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "recorded.json").read_text())
SECOND_BOOT = 165
_DIFF = "zfs diff: the medium keeps no objects and times of files; see test_preview_machine"
_RESUME = "resumable receives: a later issue sends one stream for each dataset"
_ZDB = "zdb: nothing of the restore uses it"

NOT_COVERED: dict[int, str] = {
    5: "kern.geom.confxml: the survey reads gpart and geom instead",
    16: "camcontrol identify: the survey reads geom and diskinfo instead",
    115: "the virtual file system refuses a tab in a file name",
    **dict.fromkeys(range(117, 121), _DIFF),
    146: "the virtual file system refuses a file of 24 MB",
    **dict.fromkeys(range(147, 152), _RESUME),
    160: _ZDB,
    164: "zpool history -i: internal records are not kept",
    176: _ZDB,
    177: _ZDB,
    203: "the recording of geli dump was cut short",
    209: "the recorded medium was trimmed: real install media have /boot/loader.efi",
    210: "newfs: no UFS is made in a restore",
    211: "the recorded medium was trimmed: real install media have /boot/loader.efi",
    221: "the recording shell's own processes",
    244: "native encryption: a later issue",
    245: "native encryption: a later issue",
    246: "native encryption: a later issue",
    249: "exports a pool of 244",
    225: "typed on the server, which has no console here",
    226: "typed on the server, which has no console here",
    250: "typed on the server, which has no console here",
}
# end of the list

NEVER_RUN = {244, 246, 225, 226, 250}
"""On the server, or waiting for answers at prompts that never come."""

MASKS = (
    (r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} +\d+ [\d:]+( UTC)? \d{4}", "DATE"),
    (r"\b[A-Z][a-z]{2} +\d+ \d\d:\d\d", "WHEN"),
    (r"\b\d{4}-\d\d-\d\d[T.][\d:]+Z?", "DATE"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
    (r"SHA256:[\w+/]{43}", "SHA256:KEY"),
    (r"0x[0-9a-f]+", "0x#"),
    (r"\d+(\.\d+)?[BKMGT]?\b", "#"),
    (r"[ \t\r]+", " "),
)
# Siblings are sent in the order of a hash: only the lines count there.
UNORDERED = {126, 127, 141, 142, 143}

# Byte for byte the same, numbers included.
EXACT = (
    set(range(165))
    - set(NOT_COVERED)
    - UNORDERED
    - {25, 48, 52, 83, 87, 96, 97, 104, 105, 107, 128, 129, 132, 134, 137, 154, 156}
)


def masked(text: str, *, ordered: bool = True) -> str:
    """`text` without the numbers and dates that differ from machine to machine."""
    for pattern, word in MASKS:
        text = re.sub(pattern, word, text)
    lines = [line.strip() for line in text.strip("\n").split("\n")]
    return "\n".join(lines if ordered else sorted(lines))


def difference(entry: dict[str, Any], status: int, out: str, err: str) -> str:
    """What differs from the recording; empty if nothing does."""
    text = "" if status == entry["status"] else f"status {status}, not {entry['status']}\n"
    ordered = entry["n"] not in UNORDERED
    for key, got in (("stdout", out), ("stderr", err)):
        want = masked(entry.get(key, ""), ordered=ordered)
        have = masked(got, ordered=ordered)
        if want != have:
            lines = difflib.unified_diff(
                want.split("\n"), have.split("\n"), f"recorded {key}", "rehearsed", "", "", 1
            )
            text += "\n".join(lines) + "\n"
    return text


class Replay:
    """All recorded commands run again, in their order."""

    def __init__(self, made: Rehearsal, connect: Any) -> None:
        self.differences: dict[int, str] = {}
        self.exact: set[int] = set()
        self.made = made
        self.connect = connect
        self.wire: Any = None
        for entry in RECORDED:
            self.step(entry)

    def step(self, entry: dict[str, Any]) -> None:
        """Run one entry."""
        number = entry["n"]
        if number == SECOND_BOOT:
            self.made.inside(self.after_the_panic)
        if number in NEVER_RUN:
            self.differences[number] = "not run"
        elif entry.get("tty"):
            self.differences |= {number: d} if (d := self.typed(entry)) else {}
        else:
            status, out, err = self.made.run(entry["cmd"])
            text = difference(entry, status, out, err)
            if text:
                self.differences[number] = text
            elif (out, err) == (entry.get("stdout", ""), entry.get("stderr", "")):
                self.exact.add(number)

    def after_the_panic(self) -> None:
        """The machine restarted, and vtbd1 had lost its table."""
        power_cycle(self.made.target)
        disk = self.made.target.disk("vtbd1")
        assert disk is not None
        disk.table = None
        disk.contents.clear()
        # Before it was recorded, somebody had tried geli on da0 with another key.
        other = Keys(b"another key")
        da0 = self.made.target.place("da0")
        assert da0 is not None
        make(random.Random(7), da0, sector=512, keylen=128, flags=0x200, key=other)

    def typed(self, entry: dict[str, Any]) -> str:
        """A command typed at the terminal, with its dialogue: the bytes must agree."""
        if self.wire is None:
            self.wire = self.connect(self.made)
            self.wire.plain()
        wire, end = self.wire, b"RC:%d:" % entry["status"]
        wire.run("stty echo")
        wire.quiet(0.2)
        wire.send(entry["cmd"] + "; echo R''C:$?:; stty -echo\r")
        got = b""
        for turn in entry["dialogue"]:
            got += wire.until(turn["saw"].encode())
            wire.send(turn["sent"])
        got += wire.until(end)[: -len(end)]
        wire.quiet(0.1)
        want, have = (
            re.sub(r"SHA256:[\w+/]{43}", "KEY", t) for t in (entry["bytes"], got.decode("latin-1"))
        )
        return "" if want == have else f"{want!r}\n{have!r}"


@pytest.fixture(scope="module")
def replay(wire_class: Any) -> Any:
    """The whole replay, run once."""
    with Rehearsal(speed=200, scenario="transcripts") as made:
        yield Replay(made, wire_class)


def test_everything_that_is_covered_agrees(replay: Replay) -> None:
    wrong = {n: t for n, t in replay.differences.items() if n not in NOT_COVERED}
    assert not wrong, "\n".join(f"{n} {RECORDED[n]['cmd']}\n{t}" for n, t in wrong.items())


def test_the_list_of_what_is_not_covered_is_exact(replay: Replay) -> None:
    assert set(replay.differences) == set(NOT_COVERED)


def test_partition_tables_and_much_else_agree_byte_for_byte(replay: Replay) -> None:
    assert replay.exact >= EXACT, sorted(EXACT - replay.exact)


def test_every_exception_has_a_reason() -> None:
    assert all(len(reason) > 10 for reason in NOT_COVERED.values())
    assert {e["n"] for e in RECORDED} == set(range(251))
