"""The fuzz of the facts of the console, rebuilt: a lying line to a real sh, seeded.

Invariants: never a wrong status, never a wrong output, never run twice, never run wrongly, never a
secret in a file. A command either returns exactly what it did, or raises; how often it raises is
shown per cell at the end of the test run, and written to ZRWIZARD_FUZZ_REPORT as JSON.

ZRWIZARD_FUZZ_COMMANDS is the number of commands over all cells, ZRWIZARD_FUZZ_SEED the seed,
ZRWIZARD_FUZZ_AT_ONCE how many campaigns run beside each other.
"""

from __future__ import annotations

import base64
import json
import os
import random
import re
import shlex
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pexpect
import pytest
from noise import KERNEL, SHELLS, Faults, Host, open_on, spawn_shell

from zrwizard.console.errors import ConsoleError
from zrwizard.secrets import Secret, Secrets
from zrwizard.shell.api import Rule
from zrwizard.shell.carry import UNNAMED
from zrwizard.shell.frames import FRAME, end_check, parse_end
from zrwizard.shell.session import ShellSession

ALL_COMMANDS = int(os.environ.get("ZRWIZARD_FUZZ_COMMANDS", "2000"))
SEED = int(os.environ.get("ZRWIZARD_FUZZ_SEED", "7"))
AT_ONCE = int(os.environ.get("ZRWIZARD_FUZZ_AT_ONCE", "8"))
PATIENCE = 30 if ALL_COMMANDS <= 5000 else 3600
"""Seconds after which a line that is too bad to be exact gets no further command."""
PRESENT = [name for name, (program, _) in SHELLS.items() if Path(program).exists()]


@dataclass(frozen=True)
class Cell:
    """A kind of line; `share` is how much of all commands it gets."""

    faults: Faults
    share: int
    exact: bool = True
    """Whether no command may end in an error, honest as it may be."""
    armed: bool = False
    """Whether the line lies from the first byte of the bring-up on."""


CELLS = {
    "clean": Cell(Faults(), 60),
    "noise 0.2%": Cell(Faults(noise=0.002), 60, armed=True),
    "noise 1%": Cell(Faults(noise=0.01), 40, armed=True),
    "noise 5%": Cell(Faults(noise=0.05), 3, exact=False),
    "loss 0.5%": Cell(Faults(lost=0.005), 40, armed=True),
    "loss 2%": Cell(Faults(lost=0.02), 6, exact=False),
    "noise 0.2% loss 0.5%": Cell(Faults(noise=0.002, lost=0.005), 40, armed=True),
    "both ways 0.5%": Cell(Faults(lost=0.005, out_lost=0.005), 20, exact=False, armed=True),
    "output lost 0.5%": Cell(Faults(out_lost=0.005), 30, armed=True),
    "output doubled 0.5%": Cell(Faults(out_doubled=0.005), 30),
    "doubled 0.5%": Cell(Faults(doubled=0.005), 40, armed=True),
    # A typed byte that turns into a backquote swallows lines, and may not be closed: an honest end.
    "flipped 0.2%": Cell(Faults(flipped=0.002, out_flipped=0.002), 6, exact=False),
    "bursts 0.1%": Cell(Faults(burst=0.001), 20),
    "8-bit 1%": Cell(Faults(garbage=0.01), 30, armed=True),
    "replayed frames 0.5%": Cell(Faults(replay=0.005), 40),
    "another root 0.3%": Cell(Faults(logins=0.003), 30),
    "one-byte reads": Cell(Faults(tiny_reads=True, noise=0.002), 20),
    "delay": Cell(Faults(delay=0.03, noise=0.002), 20),
    "^S 0.1%": Cell(Faults(stopped=0.001), 20),
    "queue of 1920": Cell(Faults(queue=1920, noise=0.001), 20),
    "queue of 400": Cell(Faults(queue=400), 10, exact=False),
    "echo on": Cell(Faults(echo=0.1, noise=0.002), 30),
    "cuts 0.01%": Cell(Faults(cut=0.0001), 6),
    "cuts and noise": Cell(Faults(cut=0.0001, noise=0.002, lost=0.002), 4, exact=False),
    "all": Cell(
        Faults(
            *(0.002, 0.001, 0.001, 0.001, 0.001, 0.001, 0.0005),
            *(0.002, 0.002, 0.0005, 0.0002, 0.0002, 0.0),
            echo=0.02,
        ),
        5,
        exact=False,
    ),
}
_SHARES = len(PRESENT) * sum(cell.share for cell in CELLS.values())


@dataclass
class Tally:
    """What became of a cell's commands."""

    ok: int = 0
    begun: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    secret: Counter[str] = field(default_factory=Counter)
    """Errors of the dialogue and the upload with a secret: a damaged prompt is not answered."""
    bring_up: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)
    """What each error of a command was."""
    lines: int = 0
    seconds: float = 0.0


class Campaign:
    """One cell with one shell. Each command notes its number in a file: runs are counted."""

    def __init__(self, cell: str, kind: str, seed: int, directory: Path) -> None:
        self.cell, self.kind, self.seed = CELLS[cell], kind, seed
        self.name = f"cell {cell!r}, shell {kind}, seed {seed}"
        self.directory = directory
        # A short path: many commands are then short enough to go as one line.
        self.short = Path(tempfile.mkdtemp(prefix="", dir="/tmp"))
        self.ran = self.short / "r"
        self.ran.write_text("")
        self.nasty = self.short / "n"
        self.nasty.write_bytes(b"")
        self.pick = random.Random(f"commands {seed}")
        self.tally = Tally()
        self.done: set[int] = set()
        self.token = f"{os.getpid():x}{seed:08x}"
        self.home = Path("/tmp") / f"zr-{self.token}"
        self.secret = Secret("key", base64.b32encode(random.Random(seed).randbytes(300)))
        self.word = Secret("word", f"hunter-{seed}-{self.pick.getrandbits(64):x}")
        self.cut_short = False
        """Whether the last upload of a secret ended in an error: its rest is the next session's."""
        self.secrets = Secrets()
        self.secrets.add(self.secret)
        self.secrets.add(self.word)

    def run(self, count: int) -> Tally:
        """Run `count` commands, over as many sessions as the line makes necessary."""
        began = time.monotonic()
        number = 0
        host = None
        for attempt in range(8):
            if not self.cell.exact and time.monotonic() - began > PATIENCE:
                break
            host = Host(self.kind, self.cell.faults, self.seed + 1000 * attempt)
            try:
                session = self.open(host, attempt)
                if session is None:
                    continue
                if not self.tally.ok:
                    self.with_secrets(session)
                number = self.commands(session, host, number, count)
                self.with_secrets(session)
                session.console.close()
            finally:
                self.tally.lines += len(host.lines)
                host.end()
            if number >= count:
                break
        lasted = number >= count or not self.cell.exact
        assert lasted, f"{self.name}: no session lasted; {self.tally}"
        self.tally.begun = number
        self.check()
        for kept in (self.short, self.home):
            shutil.rmtree(kept, ignore_errors=True)
        self.tally.seconds = round(time.monotonic() - began, 1)
        return self.tally

    def open(self, host: Host, attempt: int) -> ShellSession | None:
        try:
            session = open_on(
                host,
                token=self.token,
                log=self.directory / f"transcript{attempt}",
                secrets=self.secrets,
                armed=self.cell.armed,
            )
        except ConsoleError as error:
            self.tally.bring_up[type(error).__name__] += 1
            return None
        if not self.cell.exact:
            session.reconnect_for = 20.0
        return session

    def commands(self, session: ShellSession, host: Host, number: int, count: int) -> int:
        """Run commands from `number` on; return the first that was not begun."""
        lost = 0
        until = time.monotonic() + PATIENCE
        while number < count and lost < 3 and (self.cell.exact or time.monotonic() < until):
            before = sum(self.tally.errors.values())
            self.command(session, host, number)
            lost = lost + 1 if sum(self.tally.errors.values()) > before else 0
            number += 1
        return number

    def command(self, session: ShellSession, host: Host, number: int) -> None:
        pick = self.pick
        status = pick.choice([0, 0, 0, 1, 2, 77, 127, 255, pick.randrange(256)])
        out, err = self.some_bytes(f"o{number}"), self.some_bytes(f"e{number}", most=200)
        parts = [f"echo {number} >>{self.ran}"]
        parts += [out[1]] if out[0] else []
        parts += [f"{err[1]} >&2"] if err[0] else []
        if pick.random() < 0.1 and host.frames_seen:
            # Output that holds our own frames, beside the command's outputs.
            frames = b"".join(pick.choice(host.frames_seen) for _ in range(5))
            forged = b"\x1eE00000000:000:255:0:0:0:0:0:00000000\x1f\x1eS00000000\x1f"
            self.nasty.write_bytes(frames + forged + b"\xff\0login: # ")
            parts.insert(1, f"cat {self.nasty} >/dev/tty")
        command = ";".join([*parts, f"exit {status}"])
        try:
            result = session.run(command, timeout=60 if self.cell.exact else 20)
        except ConsoleError as error:
            self.tally.errors[type(error).__name__] += 1
            self.tally.said.append(f"command {number}: {type(error).__name__}: {error.what}")
            return
        where = f"{self.name}, command {number}"
        assert result.status == status, f"{where}: wrong status {result.status} for {status}"
        assert result.out == out[0], f"{where}: wrong output"
        assert result.err == err[0], f"{where}: wrong error output"
        self.tally.ok += 1
        self.done.add(number)

    def some_bytes(self, name: str, most: int = 5000) -> tuple[bytes, str]:
        """Return bytes and the command that writes them: typed, or kept in a file."""
        pick = self.pick
        if pick.random() < 0.7:
            letters = "ab 0:\n#$'\"\\\t%é!{}\x01" if pick.random() < 0.5 else "abcdefgh"
            size = pick.choice([0, 0, 1, 3, 10, 40, 300])
            text = "".join(pick.choice(letters) for _ in range(min(size, most)))
            return text.encode(), f"printf %s {shlex.quote(text)}"
        data = pick.randbytes(pick.choice([100, 1199, 1200, 1201, 1537, 3000, 5000]) % (most + 1))
        path = self.short / name
        path.write_bytes(data)
        return data, f"cat {path}"

    def with_secrets(self, session: ShellSession) -> None:
        """Pass a secret file and an answer to a prompt over the line."""
        path = Path(session.home) / "secret"
        ask = (
            "s=$(stty -g </dev/tty); stty -echo </dev/tty; printf 'Password:' >/dev/tty;"
            " read x </dev/tty; stty $s </dev/tty; echo; echo ${#x}"
        )
        try:
            session.upload(str(path), self.secret)
            assert path.read_bytes() == self.secret.reveal(), f"{self.name}: a damaged upload"
            session.talk(ask, (Rule("Password:$", self.word),), timeout=5)
        except ConsoleError as error:
            self.tally.secret[type(error).__name__] += 1
            self.cut_short = True
        else:
            self.cut_short = False
        path.unlink(missing_ok=True)

    def look_in_again(self) -> None:
        """A session more, on a good line: it removes what a shell that went deaf has left."""
        host = Host(self.kind)
        try:
            open_on(host, token=self.token, secrets=self.secrets).console.close()
        finally:
            host.end()

    def check(self) -> None:
        """Look at what was done, and at every file that was written."""
        lines = self.ran.read_text().split()
        assert all(line.isdigit() for line in lines), f"{self.name}: a command ran wrongly"
        assert len(lines) == len(set(lines)), f"{self.name}: a command ran twice"
        missing = self.done - {int(line) for line in lines}
        assert not missing, f"{self.name}: reported but never run: {missing}"
        for top in (self.directory, self.short, self.home):
            self.no_secret_in(top, but=f"up-{UNNAMED}" if self.cut_short else None)
        if self.cut_short:
            self.look_in_again()
            self.no_secret_in(self.home)

    def no_secret_in(self, top: Path, but: str | None = None) -> None:
        """Look at every file below `top`, but for those whose name begins with `but`."""
        for path in top.rglob("*"):
            if path.is_file() and not (but and path.name.startswith(but)):
                found = self.leaks(path.read_bytes())
                assert not found, f"{self.name}: {path} holds {found} of a secret"

    def leaks(self, data: bytes) -> list[bytes]:
        """Return the pieces of a secret, plain or as base64, that `data` holds."""
        value = self.secret.reveal()
        text = b"\n".join(_LETTERS.findall(data))
        found = [self.word.reveal()] if self.word.reveal() in data else []
        found += pieces_in(text, value, 16)
        for shift in range(3):
            found += pieces_in(text, base64.b64encode(value[shift:]), 20)
        return found


_LETTERS = re.compile(rb"[A-Za-z0-9+/=]{16,}")
"""What base32 and base64 are made of, as long as the shortest piece that is looked for."""


def pieces_in(text: bytes, value: bytes, size: int) -> list[bytes]:
    """Return the pieces of `value`, `size` bytes long, that `text` holds.

    Every one of them holds a block of half its size that begins at a multiple of it: where none
    of those few is found, no piece is.
    """
    half = size // 2
    if not any(value[at : at + half] in text for at in range(0, len(value) - half + 1, half)):
        return []
    pieces = (value[at : at + size] for at in range(len(value) - size + 1))
    return [piece for piece in pieces if piece in text]


@pytest.mark.parametrize("kind", PRESENT)
def test_ctrl_c_frees_a_shell_whatever_started_the_tests(kind):
    """Behind `nohup ... &` the tests ignore ^C themselves; a shell on a console never does."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        spawn = spawn_shell(kind)
    finally:
        signal.signal(signal.SIGINT, before)
    spawn.expect_exact(b"# ", timeout=30)
    spawn.send(b"echo 'open\r")
    spawn.expect_exact(b"> ", timeout=30)
    # One that comes while the line editor begins is lost.
    assert any(
        spawn.send(b"\x03") and spawn.expect_exact([b"# ", pexpect.TIMEOUT], timeout=1) == 0
        for _ in range(30)
    )
    spawn.send(b"echo a$((40 + 2))\r")
    spawn.expect_exact(b"a42", timeout=30)
    spawn.close(force=True)


def test_every_piece_of_a_secret_is_found_wherever_it_lies(tmp_path):
    campaign = Campaign("clean", PRESENT[0], 5, tmp_path)
    value = campaign.secret.reveal()
    plain = [value[at : at + 16] for at in range(len(value) - 15)]
    encoded = [base64.b64encode(value[at : at + 21])[2:26] for at in range(len(value) - 20)]
    for piece in [*plain, *encoded, campaign.word.reveal()]:
        assert campaign.leaks(b"\0\xff" + piece + b"\r\n")
        assert campaign.leaks(b"ab12" + piece + b"cd34")
    assert not campaign.leaks(b"abcdefgh" * 1000 + value[:7] + b"\n" + value[7:15])


def commands_of(cell: str) -> int:
    return max(3, round(ALL_COMMANDS * CELLS[cell].share / _SHARES))


@pytest.fixture(scope="module")
def campaigns(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], Future[Tally]]]:
    """Every selected campaign, several at once: they wait for answers most of the time."""
    wanted = [
        (item.callspec.params["cell"], item.callspec.params["kind"])
        for item in request.session.items
        if getattr(item, "originalname", "") == "test_nothing_wrong_is_ever_reported"
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = {}
        for cell, kind in wanted:
            seed = SEED * 10007 + 101 * list(CELLS).index(cell) + PRESENT.index(kind)
            campaign = Campaign(cell, kind, seed, tmp_path_factory.mktemp("campaign"))
            futures[cell, kind] = pool.submit(campaign.run, commands_of(cell))
        try:
            yield futures
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@pytest.mark.parametrize("kind", PRESENT)
@pytest.mark.parametrize("cell", list(CELLS))
def test_nothing_wrong_is_ever_reported(cell, kind, campaigns, record_property):
    tally = campaigns[cell, kind].result()
    errors = sum(tally.errors.values())
    row = {"cell": cell, "shell": kind, "commands": tally.begun, "ok": tally.ok}
    row |= {"errors": dict(tally.errors), "bring_up_errors": dict(tally.bring_up)}
    row |= {"secret_errors": dict(tally.secret), "said": tally.said, "seed": SEED}
    row |= {"lines": tally.lines, "seconds": tally.seconds, "exact": CELLS[cell].exact}
    record_property("fuzz", json.dumps(row))
    if CELLS[cell].exact:
        assert not errors, f"{tally.errors}; {tally.said}"
        # How often the way up ended in an error is in the table: a prompt with noise in it is not
        # recognised, and then shown, as is wanted there.


FRAMES = (
    b"\x1eEab12cd34:077:178:3:1219131554:4:2351506279:1947096194:ab12cd34\x1f",
    b"\x1eEab12cd34:000:255:0:0:0:0:0:ab12cd34\x1f",
    b"\x1eSab12cd34\x1f",
    b"\x1ePab12cd34:0\x1f",
    b"\x1eNab12cd34\x1f",
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
        else:
            # Acknowledgements are compared whole: a body that differs acknowledges nothing.
            assert (kind, body) != whole.groups()


def lost_digits(number: int) -> list[int]:
    text = str(number)
    return [int(text[:at] + text[at + 1 :] or "0") for at in range(len(text))]


@pytest.mark.parametrize(
    ("status", "out", "out_crc", "err", "err_crc"),
    [(77, 1199, 2912047678, 10, 802903734), (0, 100, 1866228107, 0, 4294967295)],
)
def test_numbers_that_lost_a_digit_each_do_not_agree(status, out, out_crc, err, err_crc):
    """Both seen in the fuzz, with checks that were sums: the first with a prime that was small."""
    numbers = [status, out, out_crc, err, err_crc]
    check = end_check(*numbers)
    body = "f28859c5:%03d:%03d:%d:%d:%d:%d:%d:f28859c5"

    def read(numbers: list[int], check: int) -> object:
        fields = (numbers[0], 255 - numbers[0], *numbers[1:], check)
        return parse_end((body % fields).encode())

    assert read(numbers, check) is not None
    for at in range(1, 5):
        for damaged in lost_digits(numbers[at]):
            changed = [*numbers[:at], damaged, *numbers[at + 1 :]]
            for said in (check, *lost_digits(check)):
                assert changed == numbers or read(changed, said) is None


@pytest.mark.parametrize("frame", FRAMES[:2])
def test_every_damaged_byte_of_an_end_frame_is_noticed(frame):
    """Each byte lost, doubled, and changed to every other byte."""
    true = parse_end(FRAME.search(frame)[2])
    assert true is not None
    for at in range(1, len(frame) - 1):
        ways = [frame[:at] + frame[at + 1 :], frame[: at + 1] + frame[at:]]
        ways += [frame[:at] + bytes([byte]) + frame[at + 1 :] for byte in range(256)]
        for broken in ways:
            found = FRAME.search(broken)
            end = parse_end(found[2]) if found and found[1] == b"E" else None
            assert end in (None, true)
