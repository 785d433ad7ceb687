"""Two machines for the mover: pools of files, stand-in tools, and the script in a real shell."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zrwizard import mover
from zrwizard.freebsd import sh
from zrwizard.mover import Direction, State, Status, lanes
from zrwizard.transfer.forest import Stream

HERE = Path(__file__).parent
TOOLS = ("awk", "sed", "grep", "sleep", "dd", "date", "mkfifo", "mv", "rm", "touch", "cat")
SHELLS = {"dash": ("dash",), "ash": ("busybox", "ash"), "bash": ("bash", "--posix")}
QUICK: dict[str, Any] = {
    "patience": 60,
    "idle": 5,
    "probe": 10,
    "answer": 30,
    "grace": 5,
    "tick": 1,
    "first": 1,
    "longest": 2,
}
SLACK = 300.0


@dataclass
class World:
    """A sending and a receiving pool, and a mover between them."""

    root: Path
    shell: str = "dash"
    direction: Direction = Direction.PULL
    streams: list[Stream] = field(default_factory=list)
    renames: list[tuple[str, str]] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    lanes: list[int] = field(default_factory=list)
    """The lane of each stream; without them mover.sh alone brings them all."""

    def __post_init__(self) -> None:
        for name in ("mode", "bin", "job", *(f"{s}/{d}" for s in ("here", "there") for d in "dp")):
            (self.root / name).mkdir(parents=True)
        for side in ("here", "there"):
            for short, name in (("d", "data"), ("p", "part")):
                (self.root / side / short).rename(self.root / side / name)
            (self.root / side / "pool.json").write_text("{}")
        for tool in ("zfs", "ssh"):
            path = self.root / "bin" / tool
            command = sh.command(sys.executable, "-IS", str(HERE / f"{tool}.py"))
            path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            path.chmod(0o755)
        # The lanes' movers run in the sh of the PATH.
        own = self.root / "bin" / "sh"
        own.write_text(f'#!/bin/dash\nexec {sh.join(SHELLS[self.shell])} "$@"\n')
        own.chmod(0o755)
        if self.shell == "ash":
            for tool in TOOLS:
                (self.root / "bin" / tool).symlink_to(str(shutil.which("busybox")))
        self.made(self.far, "new")

    # --- what is on the two machines ---

    @property
    def near(self) -> str:
        """The sending machine."""
        return "there" if self.direction is Direction.PULL else "here"

    @property
    def far(self) -> str:
        """The receiving machine."""
        return "here" if self.direction is Direction.PULL else "there"

    def pool(self, side: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / side / "pool.json").read_text())
        return found

    def write(self, side: str, pool: dict[str, Any]) -> None:
        (self.root / side / "pool.json").write_text(json.dumps(pool))

    def made(self, side: str, name: str, **snaps: int) -> dict[str, Any]:
        """A dataset with snapshots of so many bytes."""
        pool = self.pool(side)
        txg = 10 * len(pool) + 1
        pool[name] = {"guid": 7000 + txg, "txg": txg, "snaps": []}
        for n, (tag, size) in enumerate(snaps.items(), 1):
            guid = random.Random(f"{name}@{tag}").getrandbits(63) | 2**63
            snap = {"tag": tag, "guid": guid, "size": size, "txg": txg + n}
            pool[name]["snaps"].append(snap)
        self.write(side, pool)
        found: dict[str, Any] = pool[name]
        return found

    def add(self, source: str, target: str, origin: str | None = None, **snaps: int) -> Stream:
        """A dataset to be moved with its whole history."""
        dataset = self.made(self.near, source, **snaps)
        tags = list(snaps)
        stream = Stream(
            source=source,
            target=target,
            kind="filesystem",
            origin=origin,
            points=tuple(dict.fromkeys((tags[0], tags[-1]))),
            every=True,
            raw=False,
            tree=False,
            guid=dataset["snaps"][-1]["guid"],
            size=sum(snaps.values()),
        )
        self.streams.append(stream)
        return stream

    def forest(self, size: int = 100_000) -> None:
        """Six datasets, a clone of a clone's snapshot among them."""
        self.add("old", "new", a=size, b=size // 2)
        self.add("old/usr", "new/usr", a=size, b=0, c=size // 3)
        self.add("old/usr/src", "new/usr/src", a=size)
        self.add("old/be1", "new/be1", "old/usr@b", x=size // 4, y=size // 4)
        self.add("old/be2", "new/be2", "old/be1@x", z=size // 2)
        self.add("old/a b", "new/a b", a=size // 5, b=size // 5)

    def mode(self, word: str, text: str = "1") -> None:
        (self.root / "mode" / word).write_text(text)

    # --- the mover ---

    @property
    def job(self) -> Path:
        return self.root / "job"

    def start(self) -> subprocess.Popen[bytes]:
        (self.job / "mover.sh").write_text(mover.SCRIPT)
        (self.job / "lanes.sh").write_text(lanes.SCRIPT)
        (self.job / lanes.LANES).write_text(lanes.text(self.lanes))
        script = "lanes.sh" if self.lanes else "mover.sh"
        (self.job / "list").write_text(mover.listing(self.streams, self.renames))
        options: dict[str, Any] = {**QUICK, **self.changes}
        text = mover.settings(
            direction=self.direction,
            ssh=["ssh", "-F", "/x/a config"],
            host="backup",
            shared=options.pop("shared", True),
            **options,
        )
        (self.job / "settings").write_text(text)
        environ = {
            **os.environ,
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "ZR_WORLD": str(self.root),
            "ZR_SIDE": "here",
        }
        with (self.root / "out").open("ab") as out:
            process = subprocess.Popen(
                [*SHELLS[self.shell], str(self.job / script), str(self.job)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environ,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def run(self) -> Status:
        """Start it and wait for its end."""
        return Status(self.start().wait(SLACK))

    def until(self, what: Callable[[], object], seconds: float = SLACK) -> None:
        """Wait until it is so; an error when it does not come."""
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, f"it does not come:\n{self.log}"
            time.sleep(0.01)

    @property
    def log(self) -> str:
        path = self.job / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def state(self) -> State:
        return mover.parse_state((self.job / "state").read_text())

    def book(self, name: str) -> list[str]:
        """The lines of a file that the stand-ins write."""
        path = self.root / name
        return path.read_text().splitlines() if path.exists() else []

    @property
    def sends(self) -> list[dict[str, Any]]:
        """Every snapshot whose stream was begun."""
        return [json.loads(line) for line in self.book("sends")]

    def end(self) -> None:
        for process in self.started:
            with_group(process.pid, signal.SIGKILL)
            process.wait(SLACK)

    # --- what must be so ---

    def missing(self) -> list[str]:
        """What is not on the receiving side as it should be, in words."""
        sent, got = self.pool(self.near), self.pool(self.far)
        names = dict(self.renames)
        found = []
        for stream in self.streams:
            target = names.get(stream.target, stream.target)
            if target not in got:
                found.append(f"{target} is not there")
                continue
            snaps = got[target]["snaps"]
            wanted = sent[stream.source]["snaps"]
            if not stream.every:
                wanted = [snap for snap in wanted if snap["tag"] in stream.points]
            if [s["guid"] for s in snaps] != [s["guid"] for s in wanted]:
                found.append(f"the snapshots of {target} differ: {snaps}")
            for snap in snaps:
                data = (self.root / self.far / "data" / str(snap["guid"])).read_bytes()
                if data != random.Random(snap["guid"]).randbytes(snap["size"]):
                    found.append(f"{target}@{snap['tag']} is damaged")
            if got[target].get("partial"):
                found.append(f"{target} is not finished")
        return found

    def alive(self) -> list[str]:
        """What still runs of all that works in this world."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                environ = (entry / "environ").read_bytes()
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                words = (entry / "cmdline").read_bytes()
            except (OSError, IndexError):
                continue
            if f"ZR_WORLD={self.root}".encode() in environ and state != "Z":
                found.append(words.replace(b"\0", b" ").decode())
        return found


def with_group(pid: int, number: int) -> None:
    """Send a signal to a process and all of its group, if they are there."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return
