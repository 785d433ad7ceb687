"""The rehearsal itself: two machines, one loopback port, one thread."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from zrwizard.rehearsal import (
    cmd_disk,
    cmd_efi,
    cmd_files,
    cmd_geli,
    cmd_gpart,
    cmd_inner,
    cmd_mover,
    cmd_net,
    cmd_process,
    cmd_receiver,
    cmd_service,
    cmd_ssh,
    cmd_sshd,
    cmd_stat,
    cmd_system,
    cmd_test,
    cmd_treechange,
    cmd_treefiles,
    cmd_zfs,
    cmd_zpool,
)
from zrwizard.rehearsal.bootcheck import settings_reasons, would_boot
from zrwizard.rehearsal.box import box_files, make_box, replug
from zrwizard.rehearsal.boxboot import restart
from zrwizard.rehearsal.clock import Clock
from zrwizard.rehearsal.console import Console
from zrwizard.rehearsal.dial import Complain, SimDial
from zrwizard.rehearsal.faults import Fault, at_the_proof
from zrwizard.rehearsal.hostb import make_server
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.previewhost import host_files, make_host
from zrwizard.rehearsal.process import helpers, interpreter, new_session
from zrwizard.rehearsal.scenario import Cut, Scenario, scenario
from zrwizard.rehearsal.sshstate import fingerprint, private_key
from zrwizard.rehearsal.targets import live_files, make_target, power_cycle, swap
from zrwizard.rehearsal.telnet import TelnetPort
from zrwizard.rehearsal.tty import Tty
from zrwizard.rehearsal.unchanged import MachineWas, changed, remember
from zrwizard.rehearsal.wouldserve import system_files, would_serve

T = TypeVar("T")
PROGRAM_MODULES = (
    cmd_disk,
    cmd_efi,
    cmd_files,
    cmd_geli,
    cmd_gpart,
    cmd_inner,
    cmd_mover,
    cmd_net,
    cmd_process,
    cmd_receiver,
    cmd_service,
    cmd_ssh,
    cmd_sshd,
    cmd_stat,
    cmd_system,
    cmd_test,
    cmd_treechange,
    cmd_treefiles,
    cmd_zfs,
    cmd_zpool,
)
"""Importing them fills the table of programs."""
KERNEL_NOISE = (
    "em0: link state changed to UP",
    "ugen0.2: <QEMU QEMU USB Tablet> at usbus0",
    "uhid0: <QEMU QEMU USB Tablet> on usbus0",
    "calcru: runtime went backwards from 3 usec to 2 usec for pid 11 (idle)",
    "random: unblocking device.",
    "Limiting closed port RST response from 312 to 200 packets/sec",
    "pid 912 (sh), jid 0, uid 0: exited on signal 2",
)
PATIENCE = 10.0


class Rehearsal:
    """Simulated machines behind `telnet://127.0.0.1:PORT`.

    `speed` is simulated seconds per real second, `noise` the chance that a kernel message falls
    into a line's worth of output (0 to 1), `scenario` a name in `SCENARIOS` or a `Scenario`.
    Raises `RehearsalUnavailable` where the virtual shell is not installed.
    """

    def __init__(
        self,
        speed: float = 20.0,
        seed: int = 1,
        noise: float = 0.0,
        scenario: Scenario | str = "restore",
    ) -> None:
        interpreter()
        self.scenario = _named(scenario) if isinstance(scenario, str) else scenario
        self.clock = Clock(speed)
        self._rng = random.Random(seed)  # noqa: S311 - a simulation
        make = (
            make_box if self.scenario.box else make_host if self.scenario.installed else make_target
        )
        self.target = make(self.scenario, self.clock, self._rng)
        self.server = make_server(self.scenario, self.clock, self._rng)
        self.server.streams = self.target.streams
        self.target.cuts = list(self.scenario.cuts)
        self.target.round_trip = self.server.round_trip = self.scenario.round_trip
        door = self.server.door
        assert door is not None  # noqa: S101 - make_server gives it one
        self.door = door
        self.target.network = {door.addresses[0]: door}
        self.target.far_ends = {door.hostname: self.server}
        self.private_key, public = private_key(self._rng)
        self.locked_key, locked = private_key(self._rng, encrypted=True)
        door.authorized |= {public, locked}
        self.old_fingerprint = self.host_fingerprint
        if self.scenario.changed_host_key:
            door.change_host_keys(self._rng)
        self._noise = noise
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._was: MachineWas | None = None
        self._system_files: dict[str, bytes] = {}
        self.keyring: Path | None = None
        """Where the operator of this rehearsal keeps the keys of the box."""
        self.port: TelnetPort | None = None
        self.console: Console | None = None

    # Life

    def __enter__(self) -> Rehearsal:
        """Start the machines; the console can be reached when this returns."""
        self._thread = threading.Thread(target=self._live, name="rehearsal", daemon=True)
        self._thread.start()
        self._ready.wait(PATIENCE)
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Pull all plugs."""
        del kind, value, trace
        self.close()

    def close(self) -> None:
        """End everything that runs; returns when the thread is gone."""
        if self._loop is not None and self._stop is not None and self._thread is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(PATIENCE)
            # An interpreter holds dozens of descriptors until it is collected.
            gc.collect()

    def _live(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as exc:  # the thread's end is told to who waits
            self._failure = exc
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        m = self.target
        m.down = asyncio.Event()
        port = TelnetPort(lambda data: tty.feed(data), lambda: console.plugged.set())  # noqa: PLW0108
        tty = Tty(port.send, noise=self._noise, rng=random.Random(self._rng.random()))  # noqa: S311
        tty.noise_lines = KERNEL_NOISE
        tty.quiet = lambda: m.sysctls.get("kern.consmute", "0") != "0"
        m.tty = tty
        console = Console(m, tty, port, self.scenario)
        self.port, self.console = port, console
        if self.scenario.box:
            box_files(m, self.scenario)
        else:
            (host_files if self.scenario.installed else live_files)(m)
        self._was = remember(m)
        self._system_files = system_files(m) if self.scenario.box else {}
        live_files(self.server)
        port.taken = self.scenario.console_taken
        await port.open()
        self._ready.set()
        work = asyncio.ensure_future(self._power(console))
        stop = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        if work.done() and not work.cancelled() and work.exception() is not None:
            self._failure = work.exception()
        elif not stop.done():
            await stop
        work.cancel()
        for task in list(m.detached):
            task.cancel()
        for shell in [*m.shells, *self.server.shells]:
            shell.interrupt()
        await port.close()
        await asyncio.gather(work, *m.detached, return_exceptions=True)
        stop.cancel()
        # The interpreters' own threads may still have a last word to hand over.
        await asyncio.sleep(0.05)

    async def _power(self, console: Console) -> None:
        reset = restart if self.scenario.box else power_cycle
        await console.main(lambda: reset(self.target))
        if self.port is not None:
            await asyncio.sleep(0.05)
            await self.port.close()

    # What a test or a front end may ask

    @property
    def url(self) -> str:
        """Where the target's console is."""
        return f"telnet://127.0.0.1:{self.port.port if self.port else 0}"

    @property
    def host_fingerprint(self) -> str:
        """The server's ED25519 key as `SHA256:…`."""
        return fingerprint(self.door.host_keys["ssh-ed25519"])

    @property
    def accidents(self) -> list[str]:
        """What happened that must never happen to a real machine."""
        return list(self.target.accidents)

    @property
    def state(self) -> str:
        """What the console shows: booting, question, dialog, login, shell, installing, off …"""
        return self.console.state if self.console else "off"

    def remember(self) -> None:
        """From now on `changed` tells what is not as it is at this moment."""

        def look() -> None:
            self._was = remember(self.target)

        self.inside(look)

    def changed(self) -> list[str]:
        """What is not as it was when the machines started, in sentences; empty: all of it is.

        Pools, datasets, snapshots, properties, mounts, zpool's history, and of installed hosts
        every file with its times. A snapshot that zfs diff made for itself and took away again
        is told by `temporary_snapshots`.
        """
        return self.inside(lambda: changed(self.target, self._was) if self._was else [])

    @property
    def temporary_snapshots(self) -> list[str]:
        """Snapshots that zfs diff made for itself since the start; all are gone again."""
        return self.inside(lambda: list(self.target.temporary))

    def dial(
        self, directory: Path, complain: Complain, reply: Callable[[int, bytes, str], T]
    ) -> SimDial[T]:
        """The way by ssh from the operator's machine to the box, with the keys in `directory`.

        `complain` makes the errors to raise (see `rehearsal.dial`), `reply` the answers, of exit
        status, output and complaints. The server answers as its simulated sshds are configured,
        by its own clock.
        """
        loop = self._loop
        if loop is None:
            raise RuntimeError("the rehearsal has not been started")
        return SimDial(self.target, loop, directory, complain, reply)

    def would_serve(self, directory: Path) -> tuple[str, ...]:
        """What the box lacks of a good backup server, in sentences; empty: it is one.

        `directory` is where the operator keeps its keys. The worst come first: the disk's key
        anywhere on the server, or somebody else's disk written to.
        """
        serial, before = self.scenario.disk_serial, self._system_files
        return tuple(
            self.inside(lambda: would_serve(self.target, directory, serial, before))
        ) + tuple(self.accidents)

    def replug(self) -> None:
        """The box's USB disks are pulled out and come back in the other order."""
        self.inside(lambda: replug(self.target))

    def would_boot(self) -> list[str]:
        """Reasons why the target's first disk would not boot; empty: it would."""
        return self.inside(lambda: would_boot(self.target))

    def foreign_settings(self) -> list[str]:
        """Those of `would_boot` that are settings of the machine that was backed up."""
        return self.inside(lambda: settings_reasons(self.target))

    def inside(self, action: Callable[[], T]) -> T:
        """Run `action` on the machines' own loop and return what it returns."""
        loop = self._loop
        if loop is None or not loop.is_running():
            return action()
        box: list[T] = []
        errors: list[BaseException] = []
        done = threading.Event()

        def run() -> None:
            try:
                box.append(action())
            except BaseException as exc:  # handed to the caller's thread
                errors.append(exc)
            done.set()

        loop.call_soon_threadsafe(run)
        if not done.wait(PATIENCE):
            raise TimeoutError("the rehearsal does not answer")
        if errors:
            raise errors[0]
        return box[0]

    def run(self, text: str, timeout: float = 30.0) -> tuple[int, str, str]:
        """Run sh `text` on the target by the back door: status, standard output and error."""
        loop = self._loop
        if loop is None:
            raise RuntimeError("the rehearsal has not been started")
        return asyncio.run_coroutine_threadsafe(run_aside(self.target, text), loop).result(timeout)

    def change_disk(
        self, serial: str | None = None, *, new_contents: bool = False, number: int = 0
    ) -> None:
        """Somebody swaps a disk, or writes to it, behind the wizard's back."""

        def change() -> None:
            disk = self.target.disks[number]
            if serial is not None:
                disk.serial = serial
            if new_contents:
                _old_table(self.target, self._rng)

        self.inside(change)

    def swap_disks(self, one: str, other: str) -> None:
        """Two disks come back under each other's names."""
        self.inside(lambda: swap(self.target, one, other))

    def pull_disk(self, name: str) -> None:
        """Somebody takes a disk out."""

        def pull() -> None:
            self.target.disks[:] = [disk for disk in self.target.disks if disk.name != name]

        self.inside(pull)

    def put(self, fault: Fault) -> None:
        """Something will be wrong: in the backup from now on, or on the target at the proofs."""

        def now() -> None:
            if fault.in_backup:
                fault.put(self.server)
            else:
                self.target.on_command = at_the_proof(fault)

        self.inside(now)

    def change_host_key(self) -> None:
        """From now on another machine answers at the server's address."""
        self.inside(lambda: self.door.change_host_keys(self._rng))

    def refuse(self, refused: bool = True) -> None:
        """The server's sshd goes away, or comes back."""
        self.inside(lambda: setattr(self.door, "refused", refused))

    def cut_after(self, *cuts: Cut) -> None:
        """The network will fail so, one after the other, counted from now."""

        def plan() -> None:
            self.target.cuts, self.target.carried = list(cuts), 0

        self.inside(plan)

    def cut_cable(self, cut: bool = True) -> None:
        """The network between the machines fails, or works again."""
        self.inside(lambda: setattr(self.target, "cable_cut", cut))

    def hang_up(self) -> None:
        """The console's connection breaks; the machine goes on."""
        if self.port is not None:
            self.inside(self.port.drop)

    def kernel_message(self, line: str) -> None:
        """The target's kernel prints a line now."""
        self.inside(lambda: self.target.kernel(line))


async def run_aside(machine: Machine, text: str) -> tuple[int, str, str]:
    """Run sh `text` in a shell without a terminal."""
    session = new_session(machine, "sh")
    out, err = bytearray(), bytearray()

    async def keep_out(data: bytes) -> None:
        out.extend(data)

    async def keep_err(data: bytes) -> None:
        err.extend(data)

    await session.run(helpers(machine), keep_err)
    status, complaint = await session.run(text, keep_out, keep_err)
    session.ended = True
    machine.processes.pop(session.process.pid, None)
    if complaint:
        err.extend(f"sh: {complaint}\n".encode())
    return status, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def _named(name: str) -> Scenario:
    return scenario(name)


def _old_table(machine: Machine, rng: random.Random) -> None:
    from zrwizard.rehearsal.targets import old_pool  # noqa: PLC0415

    disk = machine.disks[0]
    if disk.table is None:
        old_pool(disk, "surprise", rng, machine.clock)


def variant(base: str, **changes: object) -> Scenario:
    """A named scenario with some switches changed."""
    return replace(scenario(base), **changes)  # type: ignore[arg-type]
