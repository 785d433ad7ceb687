"""One fault at every byte of a command's exchange, in both directions, on real sessions.

Every kernel line at every offset of what the target sends; every single byte that is sent or typed
lost and doubled; every run of typed bytes lost. Each command ends exact, and has run once.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from noise import KERNEL, Exact, Host, open_on

WORKERS = 8
LONG = "x" * 400
"""Makes a command too long for one line."""


@dataclass
class Bench:
    """Sessions on good lines, each of which gets one fault a command."""

    directory: Path
    hosts: list[Host] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    free: list[tuple[Host, object]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        tool = self.directory / "zrmark"
        tool.write_text(f"#!/bin/sh\necho mark >>{self.directory}/marks\nexit 3\n")
        tool.chmod(0o755)
        for index in range(WORKERS):
            host = Host()
            self.hosts.append(host)
            session = open_on(host, token=f"{os.getpid():x}0ff{index:x}")
            self.free.append((host, session))

    def close(self) -> None:
        for host, session in self.free:
            session.run(f"rm -rf {session.home}")
            session.console.close()
            host.end()

    def command(self, exact: Exact, more: str = "") -> bool:
        """Run one command with one fault; return whether the fault was met. All must be exact."""
        with self.lock:
            host, session = self.free.pop()
            number = next(self.numbers)
        try:
            ran = self.directory / f"ran{number}"
            text = f"echo {number} >>{ran}; printf out; printf err >&2; exit 7{more}"
            host.lines[-1].exact = exact
            result = session.run(text, timeout=60)
            host.lines[-1].exact = None
            assert (result.status, result.out, result.err) == (7, b"out", b"err"), exact
            assert ran.read_text() == f"{number}\n", exact
            ran.unlink()
        finally:
            with self.lock:
                self.free.append((host, session))
        return exact.hit

    def at_every_offset(self, way: str, change: Callable[[bytes], bytes], more: str = "") -> int:
        """Run commands with `change` at each offset of the direction `way`; return how many."""
        # A busy machine asks twice now and then; the shortest exchange is the undisturbed one.
        cleans = [Exact(way, 10**9, bytes) for _ in range(4)]
        for one in cleans:
            self.command(one, more)
        clean = min(cleans, key=lambda one: one.passed)
        # Some bytes more than this one exchange had: checksums have nine or ten digits.
        offsets = range(clean.passed + 4)
        with ThreadPoolExecutor(WORKERS) as pool:
            tried = list(pool.map(lambda at: self.command(Exact(way, at, change), more), offsets))
        assert sum(tried) >= clean.passed - 4
        return sum(tried)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("offsets"))
    yield made
    made.close()


@pytest.mark.parametrize("line", KERNEL)
def test_a_kernel_line_at_every_offset_of_the_answers(bench, line):
    assert bench.at_every_offset("out", lambda byte: line + byte) > 50


@pytest.mark.parametrize("line", KERNEL[:2])
def test_a_kernel_line_at_every_offset_of_the_answers_to_a_long_command(bench, line):
    assert bench.at_every_offset("out", lambda byte: line + byte, f" # {LONG}") > 80


@pytest.mark.parametrize("more", ["", f" # {LONG}"], ids=["short", "long"])
@pytest.mark.parametrize("way", ["out", "in"])
@pytest.mark.parametrize("fault", ["lost", "doubled"])
def test_a_byte_lost_or_doubled_at_every_offset(bench, way, fault, more):
    change = (lambda byte: b"") if fault == "lost" else (lambda byte: byte * 2)
    assert bench.at_every_offset(way, change, more) > 50


@pytest.mark.parametrize("more", ["", f" # {LONG}"], ids=["short", "long"])
@pytest.mark.parametrize("letter", [b"s", b"r", b"x"])
def test_a_typed_byte_that_became_a_letter_of_a_helper(bench, letter, more):
    """`zp` that became the helper which runs: the last command would run once more."""
    assert bench.at_every_offset("in", lambda byte: letter, more) > 50


class Burst(Exact):
    """Loses the bytes from `at` on, up to but not including `until`."""

    def __init__(self, at: int, until: int) -> None:
        super().__init__("in", at, bytes)
        self.until = until

    def apply(self, way: str, data: bytes) -> bytes:
        if way != self.way:
            return data
        start, self.passed = self.passed, self.passed + len(data)
        return data[: max(0, self.at - start)] + data[max(0, self.until - start) :]


def test_whatever_run_of_typed_bytes_is_lost_nothing_else_is_executed(bench):
    """A tty queue that overflows loses runs; what is left of a line must never be a command."""
    marks = bench.directory / "marks"
    marks.write_text("")
    host, session = bench.free.pop()
    session.run(f"PATH={bench.directory}:$PATH")
    with pytest.raises(AssertionError):
        # The command's own shell is a subshell: the tool has to be found by the helpers' shell.
        assert session.run("zrmark").status == 3
    session.console.write(f"PATH={bench.directory}:$PATH\r".encode())
    clean = Exact("in", 10**9, bytes)
    host.lines[-1].exact = clean
    assert session.run("zrmark").status == 3
    length, wrong, count = clean.passed, [], 1
    for at in range(length):
        for until in range(at + 1, length + 1, 1 if at < 30 else 7):
            host.lines[-1].exact = Burst(at, until)
            result = session.run("zrmark", timeout=60)
            host.lines[-1].exact = None
            count += 1
            if (result.status, marks.read_text().count("mark")) != (3, count):
                wrong.append((at, until, marks.read_text().count("mark") - count))
                marks.write_text("mark\n" * count)
    bench.free.append((host, session))
    assert count > 300
    assert not wrong


class InEnds:
    """An old frame falls into each of the next end frames: none of both is a frame any more."""

    def __init__(self, count: int) -> None:
        self.left = count

    def apply(self, way: str, data: bytes) -> bytes:
        at = data.find(b"\x1eE") if way == "out" and self.left else -1
        if at < 0:
            return data
        self.left -= 1
        return data[: at + 14] + b"\x1eDo:0:1:4:AAAA\x1f" + data[at + 14 :]


def test_an_end_that_another_frame_broke_is_asked_for_at_once(bench):
    """However slow the line is: each answer is broken again, and time would run out."""
    host, session = bench.free.pop()
    host.lines[-1].exact = broken = InEnds(5)
    session._frames.pace._mean = 9.0
    result = session.run("printf out; exit 7", timeout=40)
    host.lines[-1].exact = None
    bench.free.append((host, session))
    assert (result.status, result.out) == (7, b"out")
    assert broken.left == 0
