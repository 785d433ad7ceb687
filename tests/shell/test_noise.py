"""The fuzz of the facts of the console, rebuilt: a lying line to a real sh, seeded.

Invariants: never a wrong status, never a wrong output, never run twice, never run wrongly. A
command either returns exactly what it did, or raises.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from noise import KERNEL, SHELLS, Faults, open_session

from zrwizard.console.errors import ConsoleError
from zrwizard.shell.frames import FRAME, Chunk, Gathering, parse_end

CELLS = {
    "clean": Faults(),
    "noise-0.2%": Faults(noise=0.002),
    "noise-1%": Faults(noise=0.01),
    "noise-0.2%-loss-0.5%": Faults(noise=0.002, lost=0.005),
    "doubled-0.5%": Faults(doubled=0.005),
    "one-byte-reads": Faults(tiny_reads=True, noise=0.002),
    "delay": Faults(delay=0.004),
    "all": Faults(noise=0.005, lost=0.003, doubled=0.003),
}
MUST_SUCCEED = {
    "clean",
    "noise-0.2%",
    "noise-1%",
    "noise-0.2%-loss-0.5%",
    "one-byte-reads",
    "delay",
}
COMMANDS = int(os.environ.get("ZRWIZARD_FUZZ_COMMANDS", "8"))


@dataclass
class Tally:
    ok: int = 0
    errors: int = 0


def campaign(cell: str, kind: str, count: int, tmp_path: Path, seed: int) -> Tally:
    """Run `count` commands; each appends its number to a file, so that runs can be counted."""
    ran = tmp_path / "ran"
    ran.write_text("")
    pick, tally = random.Random(seed), Tally()
    session, _ = open_session(
        kind, CELLS[cell], seed, token=f"f{os.getpid():x}{seed:x}", log=tmp_path / "t.cast"
    )
    for number in range(count):
        status = pick.choice([0, 0, 1, 2, 77, 127, 255])
        text = "".join(pick.choice("ab 0:\n#$") for _ in range(pick.choice([0, 3, 40, 300])))
        quoted = "'" + text + "'"
        command = f"echo {number} >>{ran}; printf %s {quoted}; printf e{number} >&2; exit {status}"
        try:
            result = session.run(command, timeout=30)
        except ConsoleError:
            tally.errors += 1
            continue
        assert result.status == status, f"command {number}: wrong status"
        assert result.text == text, f"command {number}: wrong output"
        assert result.errors == f"e{number}", f"command {number}: wrong error output"
        tally.ok += 1
    lines = ran.read_text().split()
    assert all(line.isdigit() and int(line) < count for line in lines), "a command ran wrongly"
    assert len(lines) == len(set(lines)), "a command ran twice"
    assert tally.ok <= len(lines), "a command that did not run was reported"
    session.close()
    return tally


@pytest.mark.parametrize("kind", [k for k, (p, _) in SHELLS.items() if Path(p).exists()])
@pytest.mark.parametrize("cell", list(CELLS))
def test_nothing_wrong_is_ever_reported(cell, kind, tmp_path, record_property):
    seed = int(os.environ.get("ZRWIZARD_FUZZ_SEED", "7")) + 31 * list(CELLS).index(cell)
    tally = campaign(cell, kind, COMMANDS, tmp_path, seed)
    record_property("cell", json.dumps({"cell": cell, "shell": kind, **vars(tally)}))
    if cell in MUST_SUCCEED:
        assert tally.errors == 0


FRAMES = (
    b"\x1eEab12cd34:077:178:3:4:7:ab12cd34\x1f",
    b"\x1eSab12cd34\x1f",
    b"\x1ePab12cd34:0\x1f",
    b"\x1eDo:0:1:8:aGVsbG8h\x1f",
    b"\x1eCo:0:1219131554 3\x1f",
)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("noise", KERNEL)
def test_noise_at_every_offset_gives_the_same_frame_or_none(frame, noise):
    """What is accepted is the frame as it was sent; all else is refused by whoever waits for it."""
    whole = FRAME.search(frame)
    assert whole
    for at in range(1, len(frame)):
        found = FRAME.search(frame[:at] + noise + frame[at:])
        if found is None or found.groups() == whole.groups():
            continue
        kind, body = found.groups()
        if kind == b"E":
            assert parse_end(body) in (None, parse_end(whole[2]))
        elif kind == b"D":
            gathering = Gathering()
            gathering.take(kind, body)
            held = [line for chunk in gathering.chunks.values() for line in chunk.lines.values()]
            assert held in ([], [b"hello!"])
        elif kind == b"C":
            chunk = Chunk(lines={1: b"abc"}, claimed=None)
            gathering = Gathering({("o", 0): chunk})
            gathering.take(kind, body)
            assert chunk.data() in (None, b"abc")
        else:
            # Acknowledgements are compared whole: a body that differs acknowledges nothing.
            assert (kind, body) != whole.groups()


def test_every_single_lost_or_doubled_byte_of_an_end_frame_is_noticed():
    frame = FRAMES[0]
    for at in range(1, len(frame) - 1):
        for broken in (frame[:at] + frame[at + 1 :], frame[: at + 1] + frame[at:]):
            found = FRAME.search(broken)
            end = parse_end(found[2]) if found and found[1] == b"E" else None
            assert end is None or (end.status, end.out, end.err) == (77, 3, 4)
