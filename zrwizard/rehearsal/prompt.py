"""An interactive shell on a simulated terminal: prompts, unfinished input, ^C, exec and exit."""

from __future__ import annotations

import asyncio
import re
import shlex

from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.process import SIGINT, Session, helpers, new_session
from zrwizard.rehearsal.rawname import wide
from zrwizard.rehearsal.telnet import TelnetPort
from zrwizard.rehearsal.tty import Tty

EXEC_SH = re.compile(r"^\s*(exec\s+)?(/bin/)?sh((\s+[-+][A-Za-z]+)*)\s*;?\s*$")
MORE = ("unexpected end of file", "unexpected EOF", "unterminated")
HERE = re.compile(r"<<(-?)\s*(['\"]?)([A-Za-z_][A-Za-z0-9_]*)\2")


def _only_comments(text: str) -> bool:
    """Is there nothing to run?"""
    return all(not part or part.startswith("#") for part in map(str.strip, text.splitlines()))


class Prompt:
    """A shell that talks to a terminal until it exits; `run` returns its exit status."""

    def __init__(
        self,
        machine: Machine,
        tty: Tty,
        port: TelnetPort,
        *,
        csh: bool = False,
        ps1: str = "# ",
        cwd: str = "/",
    ) -> None:
        self.machine, self.tty, self.port = machine, tty, port
        self.csh = csh
        self.session: Session = new_session(machine, "-csh" if csh else "-sh", tty, cwd=cwd)
        self.ps1, self.ps2 = ps1, "> "
        self.status = 0
        self._trap = self._trap_text = self._ran = ""
        self._alive = True
        self._waiting = False
        self._stopped = False

    async def run(self) -> int:
        """Read and run lines until the shell exits."""
        self.tty.interrupted = self._interrupt
        self.tty.editing = True
        await self.session.run(helpers(self.machine), self._write)
        try:
            await self._loop()
        finally:
            self.tty.interrupted = lambda: None
            self.tty.editing = False
            self.session.ended = True
            self.session.interrupt()
            self.machine.processes.pop(self.session.process.pid, None)
        return self.status

    async def _loop(self) -> None:
        text = ""
        while self._alive:
            self.tty.write((self.ps2 if text else self.ps1).encode("utf-8", "replace"))
            line = await self._line()
            if line is None:
                text = ""
                await self._trapped()
                continue
            if not line:
                self.tty.write(b"exit\n" if self.ps1 else b"\n")
                return
            text += wide(line)
            if complaint := self._complaint(text):
                if any(sign in complaint for sign in MORE):
                    continue
                self.tty.write(f"sh: Syntax error: {complaint.partition(': ')[2]}\n".encode())
                self.status, text = 2, ""
                continue
            whole, text = text, ""
            if not _only_comments(whole):
                await self._execute(whole)

    async def _line(self) -> bytes | None:
        """A line; None after ^C."""
        self._waiting = True
        self._reader = asyncio.ensure_future(self.tty.readline())
        try:
            return await self._reader
        except asyncio.CancelledError:
            if self._waiting:
                raise
            return None
        finally:
            self._waiting = False

    def _interrupt(self) -> None:
        if self._waiting:
            self._waiting = False
            self._reader.cancel()
        else:
            self._stopped = True
            self.session.interrupt(SIGINT)

    def _complaint(self, text: str) -> str:
        if text.endswith("\\\n") or re.search(r"(\|\||&&)\s*$", text):
            return MORE[0]
        for dash, _, word in HERE.findall(text):
            body = text.splitlines()
            if not any((b.lstrip("\t") if dash else b) == word for b in body):
                return MORE[0]
        try:
            self.session.bash.analyze(text)
            if not _only_comments(text):
                # A lone closing brace would end the group that the line is put in.
                self.session.bash.analyze(f"{{ {text.rstrip()}\n}}")
        except Exception as exc:  # bashkit's own error type, whatever its name
            return str(exc)
        return ""

    async def _execute(self, text: str) -> None:
        if match := EXEC_SH.match(text):
            await self._new_shell(replaces=bool(match[1]), options=match[3])
            return
        if self.csh and re.search(r"\d>|>&\d", text):
            self.tty.write(b"Ambiguous output redirect.\n")
            return
        if re.search(r"\bset\s+.*\+o\s+emacs|\bset\s+\+E", text):
            self.tty.editing = False
        script = (
            f"{self._trap}__status {self.status}\n{{ {text.rstrip()}\n}} </dev/tty\n"
            '__report "$?" "$PS1" "$PS2"\n'
        )
        self.session.reported = None
        self._ran, self._stopped = text, False
        status, complaint = await self.session.run(script, self._write)
        self._traps()
        # A ^C that comes just as the line ends stops it without the interpreter's complaint.
        if "cancelled" in complaint or (self._stopped and self.session.reported is None):
            self.session.bash.clear_cancel()
            self.status = 128 + SIGINT
            await self._trapped()
        elif complaint:
            self.tty.write(f"sh: {complaint}\n".encode())
            self.status = 2
        elif self.session.reported is None:
            self.status, self._alive = status, False
        else:
            known, self.ps1, self.ps2 = self.session.reported[:3]
            self.status = int(known)

    def _traps(self) -> None:
        """Keep the INT trap: the interpreter forgets traps from one run to the next."""
        text = self.session.bash.shell_state().traps.get("INT")
        if text is not None or "trap" in self._ran:
            self._trap = f"trap {shlex.quote(text)} INT\n" if text else ""
            self._trap_text = text or ""

    async def _trapped(self) -> None:
        """What ^C does to the shell itself: its trap, or a new line."""
        if self._trap_text:
            await self.session.run(self._trap_text, self._write)
        else:
            self.tty.write(b"\n")

    async def _new_shell(self, *, replaces: bool, options: str) -> None:
        """`exec /bin/sh` or a shell inside the shell."""
        inner = Prompt(self.machine, self.tty, self.port)
        await inner.session.run("PS1='# ' PS2='> '", self._write)
        task = asyncio.ensure_future(inner.run())
        await asyncio.sleep(0)
        self.tty.editing = "+E" not in options
        try:
            self.status = await task
        except asyncio.CancelledError:
            task.cancel()
            raise
        if replaces:
            self._alive = False
        else:
            self.tty.interrupted = self._interrupt
            self.tty.editing = True

    async def _write(self, data: bytes) -> None:
        self.tty.write(data)
        await self.port.drain()
