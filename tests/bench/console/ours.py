"""Our own contestant: `ShellSession` over `local:`, its memory, and its files over a slow line."""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.bench.console.pacedline import paced_line
from tests.bench.console.rivals import common
from zrwizard.console.errors import ConsoleError
from zrwizard.secrets import Secrets
from zrwizard.shell.connect import open_shell
from zrwizard.shell.session import ShellSession

MEGA = 1_000_000


@contextlib.contextmanager
def session(url: str) -> Iterator[ShellSession]:
    """A shell of ours at `url`; its directory on the target is removed at the end."""
    shell = open_shell(url, token=os.urandom(4).hex(), secrets=Secrets(), cancel=threading.Event())
    try:
        yield shell
    finally:
        with contextlib.suppress(ConsoleError):
            shell.run(f"rm -rf {shell.home}")
        shell.close()


def speed(args: argparse.Namespace) -> None:
    """Commands, beside a bare round trip measured turn by turn; then bulk output."""
    with session("local:") as shell, common.quiet_sh() as quiet:
        common.say("ready", version="")
        bare: list[float] = []
        ours: list[float] = []

        def true() -> bool:
            began = time.perf_counter()
            quiet.minimal()
            bare.append(time.perf_counter() - began)
            began = time.perf_counter()
            result = shell.run("true")
            ours.append(time.perf_counter() - began)
            return (result.status, result.out, result.err) == (0, b"", b"")

        wrong = sum(not true() for _ in range(args.commands + 1))
        common.say(
            "commands",
            n=args.commands,
            median=statistics.median(ours[1:]),
            total=sum(ours[1:]),
            bare=statistics.median(bare[1:]),
            wrong=wrong,
        )
        times: list[float] = []
        wrong = 0
        for number in range(min(50, args.commands)):
            began = time.perf_counter()
            wrong += shell.run(f"echo {number}").out != b"%d\n" % number
            times.append(time.perf_counter() - began)
        common.say("echo", n=len(times), median=statistics.median(times), wrong=wrong)
        common.bulk(lambda command, _: _streamed(shell, command, args.limit), args)


def _streamed(shell: ShellSession, command: str, limit: float) -> bytes:
    pieces: list[bytes] = []
    result = shell.stream(command, pieces.append, timeout=60 + limit)
    return b"".join(pieces) if result.status == 0 else b"?"


def memory(args: argparse.Namespace) -> None:
    """Stream `args.bytes` and report this process's resident memory on its way, in bytes."""
    process = psutil.Process()
    size = Path(args.file).stat().st_size
    times = -(-args.bytes // size)
    samples: list[tuple[int, int]] = []
    passed = 0

    def sink(data: bytes) -> None:
        nonlocal passed
        passed += len(data)
        if not samples or passed - samples[-1][0] > MEGA:
            samples.append((passed, process.memory_info().rss))

    with session("local:") as shell:
        before = process.memory_info().rss
        common.say("ready", version="")
        began = time.perf_counter()
        text = f"n=0; while [ $n -lt {times} ]; do cat {args.file}; n=$((n+1)); done"
        result = shell.stream(text, sink, timeout=600)
        seconds = time.perf_counter() - began
    tenth = [rss for at, rss in samples if at <= passed / 10]
    rest = [rss for at, rss in samples if at > passed / 10]
    common.say(
        "memory",
        bytes=passed,
        seconds=seconds,
        before=before,
        tenth=max(tenth),
        most=max(rest or tenth),
        last=samples[-1][1],
        right=passed == times * size and result.status == 0,
    )


def slow_line(args: argparse.Namespace) -> None:
    """Upload and download `args.bytes` of noise (not to be compressed) over a paced line."""
    data = os.urandom(args.bytes)
    with (
        paced_line(args.speed) as line,
        session(line.url) as shell,
        tempfile.TemporaryDirectory() as here,
    ):
        common.say("ready", version="")
        target, back = Path(here, "up"), Path(here, "down")

        def passing(kind: str, work: object, right: object) -> None:
            up, down = line.to_target, line.from_target
            began = time.perf_counter()
            assert callable(work)
            assert callable(right)
            work()
            common.say(
                kind,
                bytes=args.bytes,
                seconds=time.perf_counter() - began,
                typed=line.to_target - up,
                shown=line.from_target - down,
                right=right(),
            )

        passing(
            "upload",
            lambda: shell.upload(str(target), data),
            lambda: target.read_bytes() == data,
        )
        passing(
            "download",
            lambda: shell.download(str(target), back),
            lambda: back.read_bytes() == data,
        )


def main() -> None:
    """Run one part; prints JSON lines as the rivals do."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=("speed", "memory", "line"))
    parser.add_argument("--commands", type=int, default=200)
    parser.add_argument("--bytes", type=int, default=50_000_000)
    parser.add_argument("--limit", type=float, default=12.0)
    parser.add_argument("--speed", type=int, default=115_200)
    parser.add_argument("--file", default="")
    args = parser.parse_args()
    {"speed": speed, "memory": memory, "line": slow_line}[args.part](args)


if __name__ == "__main__":
    main()
