"""The mover, as the contract in the head of its script describes it, on the simulated machine.

The script itself needs fifos, signals and files that grow while a program runs, which the virtual
shell has not; here its behaviour is played, over the same simulated ssh and zfs. It pulls.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Collection

from zrwizard.rehearsal.commands import Call
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.moverlist import (
    FULL,
    HOST_KEY,
    LOGIN,
    REFUSED,
    UNFIT,
    UNREACHABLE,
    UNUSABLE,
    Leave,
    Next,
    Row,
    decide,
    guids,
    read_row,
    settings,
)
from zrwizard.rehearsal.process import helpers, new_session

TRIES = 3
_PROGRESS = re.compile(r"\d\d:\d\d:\d\d\t(\d+)\t.*")
_TOLD = re.compile(r"(full|incremental|size|)\t|resume token contents:|nvlist version:")
_ENDS = (
    (HOST_KEY, "Host key verification failed|HOST IDENTIFICATION HAS CHANGED"),
    (LOGIN, r"Permission denied \("),
    (FULL, ": out of space|quota exceeded"),
    (UNFIT, "destination '.*' exists$|has snapshots|destination already exists"),
    (UNFIT, "most recent snapshot of .* does not$|been modified$"),
    (REFUSED, "an encrypted one|may not be sent|inherited key must|key must be loaded"),
    (REFUSED, "must be upgraded|bad magic number|local origin for clone"),
)
"""What no other try would mend: the mover's status, and the words of zfs or ssh."""


class Mover:
    """One run over the list of a directory, or over the streams `wanted` of it."""

    def __init__(self, call: Call, where: str, wanted: Collection[int] | None = None) -> None:
        self._call, self._where, self._m = call, where, call.machine
        try:
            self._set = settings(self._text("settings"))
            rows = [line.split("\t") for line in self._text("list").splitlines()]
            streams = [read_row(row) for row in rows if row[0] == "stream"]
            self._rows = [r for n, r in enumerate(streams) if wanted is None or n in wanted]
            self._renames = [(row[1], row[2]) for row in rows if row[0] == "rename"]
            self._numbers = {k: int(self._set[k]) for k in ("patience", "idle", "first", "longest")}
        except (Fail, KeyError, ValueError, IndexError) as exc:
            raise Fail(f"mover.sh: {where}: {exc}\n", UNUSABLE) from None
        self._phase, self._since, self._event = "", 0, ""
        self._number = self._sent = self._size = self._had = self._finished = self._retries = 0
        self._brought = 0
        self._before = 0
        """Bytes of the snapshots of the running stream that are through."""
        self._row = self._rows[0] if self._rows else None
        self._trouble = 0.0
        self._wait = 0
        self._said: list[str] = []

    def _text(self, name: str) -> str:
        return self._call.read(f"{self._where}/{name}").decode("utf-8", "replace")

    async def run(self) -> int:
        """The exit status; the log and the state are in the directory."""
        try:
            if self._set["direction"] != "pull":
                raise Leave(UNUSABLE, "The rehearsal plays a mover that pulls.")
            for number, row in enumerate(self._rows, 1):
                self._number, self._row, self._had, self._sent, self._size = number, row, 0, 0, 0
                self._brought = 0
                await self._bring(row)
                self._finished += self._brought or row.size
                self._had = self._sent = 0
                self._say(f"Dataset {number} of {len(self._rows)}: {row.target} is there.")
            await self._rename()
            self._row = None
            self._leave(f"All {len(self._rows)} datasets are there.")
            return 0
        except Leave as last:
            self._leave(str(last))
            return last.status
        except asyncio.CancelledError:
            self._leave("Stopped by a signal; started again it goes on from here.")
            raise

    # What is told

    def _say(self, text: str) -> None:
        self._event = text
        self._log(f"{self._m.clock.utc():%H:%M:%S} {text}\n")

    def _log(self, text: str) -> None:
        self._call.write(f"{self._where}/log", text.encode(), append=True)

    def _state(self, phase: str) -> None:
        now = int(self._m.clock.now())
        if phase != self._phase:
            self._phase, self._since = phase, now
        target = self._row.target if self._row is not None else "-"
        self._show(now, target)

    def _show(self, now: int, target: str) -> None:
        phase = self._phase
        self._call.write(
            f"{self._where}/state",
            f"{phase} {self._number} {len(self._rows)} {self._since} {now} {self._sent} "
            f"{self._size} {self._had} {self._finished} {self._retries}\n{target}\n"
            f"{self._event}\n".encode(),
        )

    def _leave(self, words: str) -> None:
        self._tell()
        self._say(words)
        self._state("ended")

    def _tell(self) -> None:
        """What zfs and ssh said goes into the log."""
        self._log("".join(f"| {line}\n" for line in self._said))
        self._said.clear()

    # Commands

    async def _sh(self, text: str, *, progress: bool = False) -> tuple[int, str]:
        """Run sh text: status and standard output; complaints are kept, progress is counted."""
        session = new_session(
            self._m, "sh mover.sh", parent=self._call.proc.pid, cwd=str(self._call.io.cwd)
        )
        out, err = bytearray(), bytearray()

        async def keep(data: bytes) -> None:
            out.extend(data)

        async def hear(data: bytes) -> None:
            err.extend(data)
            while b"\n" in err:
                line, _, rest = bytes(err).partition(b"\n")
                err[:] = rest
                self._hear(line.decode("utf-8", "replace").strip("\r"), progress=progress)

        try:
            await session.run(helpers(self._m), hear)
            return (await session.run(text, keep, hear))[0], out.decode("utf-8", "replace")
        finally:
            session.interrupt()
            session.ended = True
            self._m.processes.pop(session.process.pid, None)

    def _hear(self, line: str, *, progress: bool) -> None:
        if progress and (row := _PROGRESS.fullmatch(line)):
            count = int(row[1])
            if count < self._sent - self._before:
                self._before = self._sent
            self._sent = self._before + count
        elif progress and line.startswith("size\t"):
            self._size = int(line[5:])
        elif line and not _TOLD.match(line):
            self._said.append(line)

    def _far(self, *words: str) -> str:
        command = shlex.join(words)
        return f"{self._set['ssh']} {shlex.quote(self._set['host'])} {shlex.quote(command)}"

    def _judge(self, status: int) -> bool:
        """`Leave` where no other try mends it; was it the link?"""
        text = "\n".join(self._said)
        for code, pattern in _ENDS:
            if re.search(pattern, text, re.MULTILINE):
                raise Leave(code, "That is not tried again; the lines above say why.")
        self._tell()
        return status == 255 and "cannot resume send" not in text

    async def _again(self, words: str) -> None:
        """Wait longer each time, until the patience is over; open the connection again."""
        now = self._m.clock.now()
        self._trouble, self._wait = self._trouble or now, self._wait or self._numbers["first"]
        if now - self._trouble >= self._numbers["patience"]:
            raise Leave(UNREACHABLE, f"{words} The patience is over.")
        self._retries += 1
        self._say(f"{words} Again in {self._wait / 10} s.")
        self._state("waiting")
        await self._m.clock.sleep(self._wait / 10)
        self._wait = min(self._wait * 2, self._numbers["longest"])
        ssh, host = self._set["ssh"], shlex.quote(self._set["host"])
        if self._set["shared"] == "yes" and (await self._sh(f"{ssh} -O check {host}"))[0]:
            self._said.clear()
            status, _ = await self._sh(f"{ssh} -o ControlMaster=auto -fN {host}")
            if status == 0:
                self._say("The connection is open again.")
            else:
                self._judge(status)

    # One dataset

    async def _bring(self, row: Row) -> None:
        tries, before = 0, Next()
        while True:
            await self._pause()
            self._state("looking")
            what = await self._look(row)
            if what is None:
                await self._again(f"A question about {row.target} got no answer.")
                continue
            if what.done:
                return
            if what.clear:
                self._say(f"A tree cannot be resumed: {row.target} is destroyed and sent again.")
                await self._sh(shlex.join(("zfs", "destroy", "-r", row.target)))
                continue
            tries = tries if what == before else 0
            before = what
            if tries == TRIES and not what.token:
                raise Leave(REFUSED, "The same stream failed three times.")
            fits = tries < TRIES and (not what.token or await self._fits(row, what.token))
            if fits is None:
                await self._again("A question about a resume token got no answer.")
                continue
            if not fits:
                self._say(f"{row.target} goes on from its newest snapshot: zfs receive -A.")
                self._retries += 1
                await self._sh(shlex.join(("zfs", "receive", "-A", row.target)))
                continue
            tries += not await self._stream(row, what)

    async def _pause(self) -> None:
        while self._call.exists(f"{self._where}/pause"):
            self._state("paused")
            await self._m.clock.sleep(1)

    async def _look(self, row: Row) -> Next | None:
        """What the dataset needs, by both sides' listings; None where there was no answer."""
        depth = ("-r",) if row.tree else ("-d", "1")
        ask = ("zfs", "list", "-Hp", *depth, "-t", "filesystem,volume,snapshot", "-s", "createtxg")
        columns = ("-o", "name,guid,receive_resume_token")
        here = await self._inventory(shlex.join((*ask, *columns, row.target)))
        if here is None:
            return None
        if not row.tree and row.guid in guids(here):
            return Next(done=True)
        if not here and await self._renamed(row):
            return Next(done=True)
        there = await self._inventory(self._far(*ask, *columns, row.source))
        return None if there is None else decide(row, here, there)

    async def _renamed(self, row: Row) -> bool:
        """Is it there under the name that it gets in the end?"""
        for old, new in self._renames:
            if f"{row.target}/".startswith(f"{old}/"):
                name = new + row.target[len(old) :]
                text = shlex.join(("zfs", "list", "-Hp", "-t", "snapshot", "-o", "name,guid", name))
                return row.guid in guids(await self._inventory(text) or [])
        return False

    async def _inventory(self, text: str) -> list[list[str]] | None:
        status, out = await self._sh(text)
        if status == 0:
            return [line.split("\t") for line in out.splitlines()]
        if any("dataset does not exist" in line for line in self._said):
            self._said.clear()
            return []
        self._judge(status)
        return None

    async def _fits(self, row: Row, token: str) -> bool | None:
        """Can the sender go on with the token? None: there was no answer."""
        status, out = await self._sh(self._far("zfs", "send", "-n", "-v", "-P", "-t", token))
        found = re.search(r"^\tbytes = (0x[0-9a-f]+)$", out, re.MULTILINE)
        self._had = self._brought + (int(found[1], 16) if found else 0)
        guid = re.search(r"^\ttoguid = (0x[0-9a-f]+)$", out, re.MULTILINE)
        if guid and int(guid[1], 16) == int(row.guid):
            self._call.write(f"{self._where}/resumed", f"{row.target}\n".encode(), append=True)
        link = status != 0 and self._judge(status)
        return None if link else status == 0

    async def _stream(self, row: Row, what: Next) -> bool:
        """One stream; did it end well, or by what is no fault of its own?"""
        if what.token:
            words: tuple[str, ...] = ("zfs", "send", "-v", "-P", "-t", what.token)
        else:
            more = (
                "-b" if self._set["received"] == "yes" and not row.raw else "-p",
                *self._set["options"].split(),
                *("-w",) * row.raw,
                *("-R",) * row.tree,
            )
            words, self._had = ("zfs", "send", "-v", "-P", *more, *what.words), self._brought
        self._sent = self._size = self._before = 0
        self._say(f"Dataset {self._number} of {len(self._rows)}: {row.source} to {row.target}.")
        rc = shlex.quote(f"{self._where}/sending")
        force = ("-F",) * ("/" not in row.target and not what.token)
        receive = ("zfs", "receive", *("-s",) * (not row.tree), "-u", *force, row.target)
        text = f"{{ {self._far(*words)}; echo $? >{rc}; }} | {shlex.join(receive)}"
        work = asyncio.ensure_future(self._sh(text, progress=True))
        try:
            dead = await self._watch(work)
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        if dead is None:
            return True
        if not dead:
            status = work.result()[0]
            sending = int(self._text("sending") or 255)
            if status == sending == 0:
                self._trouble, self._wait, self._sent = 0.0, 0, max(self._sent, self._size)
                self._brought = self._had + self._sent
                self._tell()
                return True
            dead = self._judge(sending)
        if self._sent:
            self._trouble = 0.0
        await self._again("The connection broke off." if dead else "The stream failed.")
        return dead

    async def _watch(self, work: asyncio.Future[tuple[int, str]]) -> bool | None:
        """Tell the state until a stream ends; True: the other side is dead; None: pause."""
        clock, idle = self._m.clock, self._numbers["idle"]
        moved, before = clock.now(), -1
        while not work.done():
            self._state("sending")
            await asyncio.wait({work}, timeout=1 / clock.speed)
            if self._call.exists(f"{self._where}/pause"):
                return None
            if self._sent != before:
                moved, before = clock.now(), self._sent
            if clock.now() - moved >= idle and not work.done():
                if (await self._sh(self._far("true")))[0]:
                    self._say("The other side does not answer: this stream is ended.")
                    return True
                self._say(f"No byte has come for {idle} s, but the other side answers.")
                moved = clock.now()
        return False

    async def _rename(self) -> None:
        for old, new in self._renames:
            self._state("renaming")
            status, _ = await self._sh(
                f"zfs list {shlex.quote(old)} >/dev/null 2>&1 || exit 0; "
                + shlex.join(("zfs", "rename", old, new))
            )
            if status:
                raise Leave(REFUSED, f"{old} cannot be renamed to {new}.")
            self._say(f"{old} is called {new} now.")
