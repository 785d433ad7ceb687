"""The console of the target from power-on to power-off: which screen follows which."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import replace

from zrwizard.rehearsal import boottext
from zrwizard.rehearsal.geli import GELIBOOT, Attached, Keys
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.prompt import Prompt
from zrwizard.rehearsal.scenario import Scenario, Start
from zrwizard.rehearsal.telnet import TelnetPort
from zrwizard.rehearsal.tty import Tty

ENTER = (0x0A, 0x0D)
ESC = 0x1B
LOADER_TRIES = 3


class Console:
    """Runs the machine's screens on its terminal; `main` ends when the power goes off."""

    def __init__(self, machine: Machine, tty: Tty, port: TelnetPort, scenario: Scenario) -> None:
        self.machine, self.tty, self.port, self.scenario = machine, tty, port, scenario
        self.clock = machine.clock
        self.state = "off"
        self.plugged = asyncio.Event()
        self._multi_user = False

    async def main(self, reset: Callable[[], None]) -> None:
        """Power on, and go through boots and shutdowns until the power goes off."""
        if self.scenario.power_on_at_connect:
            await self.plugged.wait()
        first = True
        while True:
            screens = asyncio.ensure_future(self._screens(first))
            down = asyncio.ensure_future(self.machine.down.wait())
            try:
                await asyncio.wait({screens, down}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                down.cancel()
                screens.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await screens
            how = self.machine.going_down
            await self._go_down(how)
            reset()
            first = False
            if how == "poweroff":
                self.state = "off"
                return

    async def _go_down(self, how: str) -> None:
        self.state = "going down"
        for wait, data in boottext.shutdown(self.machine, how, self.machine.next_pid):
            await self.clock.sleep(wait)
            self.tty.raw(data)

    async def _screens(self, first: bool) -> None:
        self.tty.reset()
        self.tty.flush()
        if self.scenario.box and not first:
            await self._show(boottext.box_boot(self.machine, next(iter(self.machine.ufs))))
            await self._getty(self.machine.hostname, self.scenario.root_password)
            return
        start = self.scenario.start if first else Start.QUESTION
        if not first and await self._boot_disk():
            return
        if start in (Start.PASSWORD_LOGIN,):
            self._multi_user = True
        if start in (Start.QUESTION, Start.DIALOG, Start.SHELL, Start.LIVE_LOGIN):
            await self._show(boottext.live_boot(self.machine))
            await self._installer(start)
        elif start is Start.PASSWORD_LOGIN:
            await self._getty(self.machine.hostname, self.scenario.root_password)
        elif start is Start.SINGLE_USER:
            await self._single_user()
        elif start is Start.CSH:
            while True:
                await self._shell(csh=True, ps1="root@:~ # ")
        else:
            while True:
                await self._shell()

    async def _show(self, pieces: list[bytes]) -> None:
        self.state = "booting"
        for piece in pieces:
            self.tty.raw(piece)
            await self.port.drain()
            await self.clock.sleep(1.0)

    # The installer medium

    async def _installer(self, start: Start) -> None:
        """The terminal question, the dialog, and what follows, over and over."""
        while True:
            self.tty.reset()
            if start is Start.QUESTION:
                self.state = "question"
                self.tty.write(boottext.installer_greeting().encode())
                await self.tty.readline()
                await self._resizewin()
            choice = "s" if start is Start.SHELL else "l" if start is Start.LIVE_LOGIN else ""
            choice = choice or await self._dialog()
            start = Start.QUESTION
            if choice == "s":
                self.tty.raw(boottext.CLEAR)
                self.tty.write(b"When finished, type 'exit' to return to the installer.\n")
                await self._shell()
            elif choice == "l":
                self.tty.write(
                    b"sysctl: unknown oid 'debug.witness.trace' at line 10\n"
                    b"Configuring vt: blanktime.\nStarting cron.\n"
                    b"Starting background file system checks in 60 seconds.\n\n"
                )
                self.tty.write(f"{self.clock.ctime()[:-4]}UTC {self.clock.utc().year}\n".encode())
                await self._getty("", None)
            else:
                self.state = "installing"
                self.machine.accident("an installation was started from the installer's dialog")
                self.tty.raw(boottext.INSTALLING)
                await asyncio.Event().wait()

    async def _dialog(self) -> str:
        """Draw the dialog, return `i`, `s` or `l` as bsddialog decides."""
        self.state = "dialog"
        self.tty.canonical = self.tty.echo = self.tty.signals = False
        self.tty.raw(boottext.dialog())
        focus = 0
        while True:
            key = await self.tty.key()
            letter = chr(key).lower() if key is not None and key < 0x7F else ""
            if key in ENTER:
                letter = "isl"[focus]
            if letter in ("i", "s", "l"):
                self.tty.raw(boottext.LEAVE_DIALOG)
                self.tty.reset()
                return letter
            if key == ESC:
                key = await self._arrow()
            if key in (0x09, ord("C")):
                focus = (focus + 1) % 3
            elif key == ord("D"):
                focus = (focus - 1) % 3
            else:
                continue
            self.tty.raw(boottext.dialog_focus(focus))

    async def _arrow(self) -> int | None:
        """The letter that ends a cursor key's sequence, None for a lone ESC or a report."""
        seen = ""
        while (key := await self.tty.key(0.05)) is not None:
            seen += chr(key)
            if chr(key).isalpha() or len(seen) > 18:
                break
        return ord(seen[-1]) if re.fullmatch(r"[\[O][CD]", seen) else None

    async def _resizewin(self) -> None:
        """`resizewin -z`: ask for the size, eat the answer, wait two seconds at most."""
        if self.tty.rows and self.tty.cols:
            return
        tty = self.tty
        tty.flush()
        tty.canonical = tty.echo = tty.signals = False
        tty.raw(boottext.QUERY)
        deadline = asyncio.get_running_loop().time() + max(0.4, 2.0 / self.clock.speed)
        answer = ""
        while "R" not in answer and len(answer) <= 18:
            left = deadline - asyncio.get_running_loop().time()
            key = await tty.key(max(0.0, left))
            if key is None:
                break
            answer += chr(key)
        tty.reset()
        size = re.search(r"\x1b\[(\d+);(\d+)R", answer)
        if size is not None:
            tty.rows, tty.cols = int(size[1]), int(size[2])
        elif len(answer) > 18:
            tty.write(b"resizewin: response too long\n")
        else:
            tty.write(b"resizewin: timeout reading from terminal\n")

    # getty, login, shells

    async def _getty(self, hostname: str, password: str | None) -> None:
        """login(1) over and over. `password` None: root has none."""
        while True:
            self.tty.reset()
            self.tty.flush()
            self.state = "login"
            self.tty.write(boottext.getty(hostname).encode())
            while True:
                name = (await self.tty.readline()).decode("utf-8", "replace").strip()
                if not name:
                    self.tty.write(boottext.getty(hostname).encode())
                    continue
                if await self._admitted(name, password):
                    break
                self.tty.write(b"Login incorrect\nlogin: ")
            await self._logged_in(hostname)

    async def _admitted(self, name: str, password: str | None) -> bool:
        if name == "root" and password is None:
            return True
        self.state = "password"
        given = (await self.tty.secret("Password:")).decode("utf-8", "replace")
        self.state = "login"
        return name == "root" and given == password

    async def _logged_in(self, hostname: str) -> None:
        prefix = f"{self.clock.stamp()} {hostname} login[{self.machine.new_process('login').pid}]"
        self.tty.write(f"{prefix}: ROOT LOGIN (root) ON ttyu0\r\n".encode())
        self.tty.raw(boottext.recorded("motd.bin"))
        self.tty.rows = self.tty.cols = 0
        await self._resizewin()
        await self._shell(ps1=f"root@{hostname}:~ # ")

    async def _shell(self, *, csh: bool = False, ps1: str = "# ") -> None:
        self.state = "shell"
        prompt = Prompt(self.machine, self.tty, self.port, csh=csh, ps1=ps1)
        await prompt.session.run(f"PS1='{ps1}' PS2='> '", self._nowhere)
        await prompt.run()

    async def _nowhere(self, data: bytes) -> None:
        del data

    async def _single_user(self) -> None:
        while True:
            self.state = "single user"
            self.tty.write(b"Enter full pathname of shell or RETURN for /bin/sh: ")
            await self.tty.readline()
            await self._shell(ps1="root@:/ # ")

    # The restored disk

    async def _unlocked(self) -> bool:
        """The loader asks for the passphrase of an encrypted disk, a few times at most."""
        from zrwizard.rehearsal.bootcheck import boot_disk, lock_on  # noqa: PLC0415 - as below

        disk = boot_disk(self.machine)
        found = lock_on(self.machine, disk) if disk is not None else None
        if found is None or not found[1].flags & GELIBOOT:
            return True
        where, geli = found
        part = where.part.index if where.part is not None else 0
        self.state = "passphrase"
        for _ in range(LOADER_TRIES):
            given = await self.tty.secret(f"GELI Passphrase for disk0p{part}: ")
            await self.clock.sleep(1.0)
            slot = geli.opens(Keys(passphrase=given).joined())
            if slot is not None:
                inner = Attached(geli, where.disk, where.offset, where.name, slot)
                self.machine.attached[:] = [inner]
                self.state = "booting"
                return True
            self.tty.write(b"GELI: wrong passphrase\n")
        return False

    async def _boot_disk(self) -> bool:
        """Try the hard disk first, as `-boot order=cd` does; False: the medium boots next."""
        from zrwizard.rehearsal.bootcheck import boot_plan  # noqa: PLC0415 - needs Machine

        plan = boot_plan(self.machine)
        self.state = "booting"
        if plan.stage in ("no system", "boots") and not await self._unlocked():
            plan = replace(plan, stage="no system")
        if plan.stage == "no code":
            self.tty.raw(boottext.nothing_boots())
            return False
        if plan.stage == "no loader":
            self.tty.raw(boottext.no_loader())
        elif plan.stage == "no system":
            self.tty.raw(boottext.loader_finds_nothing(plan.bootfs or "zroot"))
        elif plan.silent:
            plan.take_over(self.machine)
        else:
            await self._show(
                boottext.disk_boot(
                    plan.hostname, plan.bootfs, plan.version, [n.name for n in self.machine.nics]
                )
            )
            plan.take_over(self.machine)
            self.tty.write(f"\n{self.clock.ctime()[:-4]}UTC {self.clock.utc().year}\n".encode())
            await self._getty(plan.hostname, self.scenario.installed_password)
            return True
        self.state = "stuck"
        await asyncio.Event().wait()
        return True
