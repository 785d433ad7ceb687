"""The receiver behind the forced commands, as its contract describes it.

The script itself needs fifos and background processes that the virtual shell has not; here its
behaviour is played, on the same simulated disk.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Protocol

from zrwizard.rehearsal.daemonfiles import place, read
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.geli import Attached, Keys, attach, detach, metadata
from zrwizard.rehearsal.machine import Machine, Where
from zrwizard.rehearsal.poolimport import activate, labelled
from zrwizard.rehearsal.zfsmount import unmount_all
from zrwizard.rehearsal.zfsreaders import ByteReader
from zrwizard.rehearsal.zfsreceive import Receiver, abandon
from zrwizard.rehearsal.zfsstate import Pool

PATH = "/usr/local/libexec/zr-receiver"
CONFIGS = "/usr/local/etc/zrwizard"
USAGE, NO_DISK, TOO_LATE, BROKEN, BUSY, FORBIDDEN = 64, 69, 70, 74, 75, 77
KEY_LIMIT = 64 << 10
SPIN_UP = 4.0
"""Simulated seconds in which the disk comes up to speed."""
LEAST_WAIT = 5.0
"""Real seconds that are waited for a key at least, however fast the simulated time goes."""
_SETTINGS = {
    "shape": r"vault|plain",
    "serial": r"[\w.:+/ -]*",
    "size": r"[1-9]\d{0,18}",
    "part": r"[\w.:-]*",
    "pool": r"[A-Za-z][\w.:-]*",
    "delivery": r"stdin|fifo",
    "force": r"no|yes",
    "wait": r"[1-9]\d{0,3}",
    "attach": r"[1-9]\d{0,3}",
}
_DATASET = re.compile(r"[A-Za-z0-9_.:-]+(/[A-Za-z0-9_.:-]+)*")


class Pipe(Protocol):
    """The session's standard streams."""

    async def read(self) -> bytes:
        """The next piece of input, empty at its end."""
        ...

    def write(self, data: bytes) -> None:
        """Standard output."""
        ...


class Refusal(Exception):
    """The receiver ends: exit status and one line on standard error."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


@dataclass(eq=False, slots=True)
class Hold:
    """A session that has the disk, or waits for its key."""

    pool: str
    where: Where | None = None
    attached: Attached | None = None
    opened: Pool | None = None
    receiving: bool = False
    key: asyncio.Future[tuple[int, str]] | None = None
    """Where it waits for a key: set to how the attach ended."""
    ready: asyncio.Event = field(default_factory=asyncio.Event)


class Door:
    """One session of the receiver."""

    def __init__(self, machine: Machine, name: str, role: str, pipe: Pipe) -> None:
        self._m, self._name, self._role, self._pipe = machine, name, role, pipe

    async def run(self, request: str) -> tuple[int, str]:
        """Exit status and what stands on standard error."""
        try:
            if self._role not in ("deliver", "receive"):
                raise Refusal(USAGE, "usage: zr-receiver NAME deliver|receive")
            config = self._config()
            if len(request) > 255 or not re.fullmatch(r"[A-Za-z0-9_.:/ -]*", request):
                raise self._foreign()
            words = request.split()
            if self._role == "deliver":
                return await self._deliver(config, words), ""
            return await self._request(config, words)
        except Refusal as refusal:
            return refusal.status, f"zr-receiver: {refusal}\n"
        except Fail as refusal:
            return refusal.status, refusal.err

    def _foreign(self) -> Refusal:
        return Refusal(
            FORBIDDEN, f"This key may only {self._role}, and that request is not one of its own."
        )

    def _config(self) -> dict[str, str]:
        """The settings: each exactly once, and nothing that cannot be."""
        path = f"{CONFIGS}/{self._name}.conf"
        text = (read(self._m, path) or b"").decode("utf-8", "replace")
        rows = [line for line in text.splitlines() if line and not line.startswith("#")]
        found = dict(row.partition("=")[::2] for row in rows)
        bad = not text or len(found) != len(rows) or found.keys() != _SETTINGS.keys()
        if bad or not all(re.fullmatch(_SETTINGS[k], v) for k, v in found.items()):
            raise Refusal(
                USAGE,
                f"The configuration called {self._name} is not there, or not as it should be.",
            )
        return found

    # The key that delivers

    async def _deliver(self, config: dict[str, str], words: list[str]) -> int:
        if words not in ([], ["key"]):
            raise self._foreign()
        if config["shape"] != "vault":
            raise Refusal(FORBIDDEN, "This disk takes no key: it is not encrypted.")
        hold = await self._awaited()
        key = b""
        while len(key) <= KEY_LIMIT and (piece := await self._pipe.read()):
            key += piece
        if len(key) > KEY_LIMIT:
            answer = FORBIDDEN, "A key has at most 64 KiB."
        elif not key:
            answer = BROKEN, "The key was empty."
        else:
            answer = self._attach(hold, key)
        if hold.key is None or hold.key.done():
            raise Refusal(TOO_LATE, "What waited for the key has ended.")
        hold.key.set_result(answer)
        if answer[0]:
            raise Refusal(*answer)
        self._pipe.write(b"accepted\n")
        return 0

    async def _awaited(self) -> Hold:
        """The session that waits for a key."""
        for _ in range(max(1, int(LEAST_WAIT * 10))):
            hold = self._m.holds.get(self._name)
            if hold is not None and hold.key is not None and not hold.key.done():
                return hold
            if hold is not None and hold.attached is not None:
                raise Refusal(BUSY, "The disk has its key, or is just being given it.")
            await asyncio.sleep(0.1)
        raise Refusal(TOO_LATE, "Nothing waits for a key.")

    def _attach(self, hold: Hold, key: bytes) -> tuple[int, str]:
        m, where = self._m, hold.where
        geli = metadata(where) if where is not None else None
        if where is None or geli is None:
            return BROKEN, "The disk could not be attached: geli: Cannot read metadata"
        slot = geli.opens(Keys(key).joined())
        if slot is None:
            return BROKEN, "The key does not open the disk."
        if m.users(where):
            return BROKEN, f"The disk could not be attached: Cannot access {where.name} (error=1)."
        hold.attached = attach(m, where, slot, on_close=False, read_only=False)
        return 0, ""

    # The key that receives

    async def _request(self, config: dict[str, str], words: list[str]) -> tuple[int, str]:
        verb = words[0] if words else ""
        alone = verb in ("hold", "inventory", "space", "health") and len(words) == 1
        named = verb in ("receive", "abandon", "token") and len(words) == 2
        if not (alone or named):
            raise self._foreign()
        target = config["pool"]
        if named and words[1] != ".":
            if not _DATASET.fullmatch(words[1]) or {".", ".."} & set(words[1].split("/")):
                raise self._foreign()
            target += f"/{words[1]}"
        hold = self._m.holds.get(self._name)
        if hold is not None and verb == "hold":
            raise Refusal(BUSY, "Another session holds the disk.")
        if hold is not None:
            await asyncio.wait_for(hold.ready.wait(), 30)
            return await self._inside(hold, verb, target, config)
        hold = self._m.holds[self._name] = Hold(config["pool"])
        try:
            await self._open(hold, config)
            hold.ready.set()
            answer = await self._inside(hold, verb, target, config)
        finally:
            self._close(hold, config["shape"] == "vault")
        if verb == "hold":
            self._pipe.write(b"closed\n")
        return answer

    async def _open(self, hold: Hold, config: dict[str, str]) -> None:
        m = self._m
        if hold.pool in m.pools:
            if config["shape"] == "plain":
                return
            raise Refusal(BUSY, "Somebody else has attached the disk, or imported the pool.")
        hold.where = self._disk(config)
        if config["shape"] == "vault":
            if m.users(hold.where):
                raise Refusal(BUSY, "Somebody else has attached the disk, or imported the pool.")
            await m.clock.sleep(SPIN_UP)
            hold.key = asyncio.get_running_loop().create_future()
            limit = max(LEAST_WAIT, int(config["wait"]) / m.clock.speed)
            try:
                status, words = await asyncio.wait_for(hold.key, limit)
            except TimeoutError:
                raise Refusal(TOO_LATE, f"No key came within {config['wait']} seconds.") from None
            if status:
                raise Refusal(status, words)
        pool = next((p for _, p in labelled(m) if p.name == hold.pool and not p.destroyed), None)
        if pool is None or pool.active_on:
            raise Refusal(BROKEN, f"The pool cannot be imported: cannot import '{hold.pool}'")
        pool.props["cachefile"] = "none"
        activate(m, pool)
        hold.opened = pool

    def _disk(self, config: dict[str, str]) -> Where:
        """The one disk of our serial number and size, whatever its name is now."""
        m = self._m
        disks = [d for d in m.disks if d.serial == config["serial"]]
        disks = [d for d in disks if d.size == int(config["size"])]
        if len(disks) != 1:
            raise Refusal(NO_DISK, "Not exactly one disk has our serial number and size.")
        if not config["part"]:
            return Where(disks[0], None, disks[0].name)
        for where in m.places():
            if where.disk is disks[0] and where.part and where.part.label == config["part"]:
                return where
        raise Refusal(
            NO_DISK, f"Not exactly one partition of our disk has the label {config['part']}."
        )

    def _close(self, hold: Hold, vault: bool) -> None:
        """Whatever has happened: the pool is exported, the disk detached, the lock is gone."""
        m = self._m
        if vault and hold.opened is not None and m.pools.get(hold.pool) is hold.opened:
            pool = hold.opened
            for ds in pool.datasets.values():
                ds.busy = False
            unmount_all(m, pool)
            pool.exported, pool.active_on, pool.altroot = True, "", ""
            pool.props.pop("cachefile", None)
            pool.last_access = m.clock.now()
            del m.pools[pool.name]
        if hold.attached is not None and hold.attached in m.attached:
            detach(m, hold.attached)
        if hold.key is not None and not hold.key.done():
            hold.key.cancel()
        self._m.holds.pop(self._name, None)

    async def _inside(
        self, hold: Hold, verb: str, target: str, config: dict[str, str]
    ) -> tuple[int, str]:
        """Answer a request while the pool is open."""
        if verb == "hold":
            self._pipe.write(b"ready\n")
            while await self._pipe.read():
                pass
            return 0, ""
        if verb in ("receive", "abandon"):
            if hold.receiving:
                raise Refusal(BUSY, "A receive is running already.")
            hold.receiving = True
            try:
                if verb == "abandon":
                    abandon(self._m, target)
                    return 0, ""
                return await self._receive(target, force=config["force"] == "yes")
            finally:
                hold.receiving = False
        return await self._ask(verb, target, hold.pool)

    async def _receive(self, target: str, *, force: bool) -> tuple[int, str]:
        found = {"s": "", "u": ""} | ({"F": ""} if force else {})
        reader = ByteReader(Receiver(self._m, target, found))
        try:
            while piece := await self._pipe.read():
                reader.feed(piece)
                await self._m.clock.sleep(len(piece) / self._m.send_rate)
            reader.finish()
        except (asyncio.CancelledError, Fail):
            reader.receiver.interrupted()
            raise
        return 0, ""

    async def _ask(self, verb: str, target: str, pool: str) -> tuple[int, str]:
        from zrwizard.rehearsal.world import run_aside  # noqa: PLC0415 - both ways

        text = {
            "inventory": "zfs list -Hp -r -t filesystem,volume,snapshot -o "
            f"name,type,guid,createtxg,creation,used,refer,userrefs {pool}",
            "token": f"zfs get -Hp -o value receive_resume_token {target}",
            "space": f"zfs get -Hp -o property,value used,available {pool}",
            "health": f"zpool status {pool}",
        }[verb]
        status, out, err = await run_aside(self._m, text)
        self._pipe.write(out.encode())
        return status, err


async def answer(m: Machine, name: str, role: str, request: str, pipe: Pipe) -> tuple[int, str]:
    """A session of `zr-receiver NAME ROLE` with this request."""
    return await Door(m, name, role, pipe).run(request)


def installed(m: Machine) -> str:
    """What is wrong with the installed receiver, empty where it is as it should be."""
    found = place(m, PATH)
    if found is None or found.node.kind != "F":
        return f"{PATH} is not there."
    node = found.node
    if node.uid != 0 or node.mode & 0o022:
        return f"{PATH} can be changed by others than root."
    if not node.mode & 0o100:
        return f"{PATH} cannot be run."
    text = node.read()
    marks = (b"SSH_ORIGINAL_COMMAND", b"geli", b"zpool", b"zfs")
    if not text.startswith(b"#!/bin/sh\n") or not all(mark in text for mark in marks):
        return f"{PATH} is not the receiver."
    return ""
