"""The table of simulated programs, and what a running one can reach."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.filespace import Lack, Outside
from zrwizard.rehearsal.rawname import narrow, narrow_bytes

if TYPE_CHECKING:
    from zrwizard.rehearsal.machine import Machine
    from zrwizard.rehearsal.process import Process, Session

DRAIN = 0.01
"""Real seconds in which the virtual shell hands over what it has printed."""
TTY_TOKEN = b"\x01TTY\n"
"""What a command finds on its standard input when that is the terminal."""


@dataclass(slots=True)
class Call:
    """One running command: its machine, session, arguments and streams."""

    machine: Machine
    session: Session
    name: str
    args: list[str]
    io: Any
    proc: Process
    called: str = ""
    """The name under which it was started, with the directory if one was given."""

    async def out(self, data: str | bytes) -> None:
        """Write to standard output."""
        if data:
            await self.io.stdout.write(narrow(data) if isinstance(data, str) else data)

    async def err(self, data: str | bytes) -> None:
        """Write to standard error; on a terminal it is there before what comes after it."""
        if data:
            await self.io.stderr.write(narrow(data) if isinstance(data, str) else data)
            if self.session.tty is not None:
                await asyncio.sleep(DRAIN)

    async def chunk(self) -> bytes | None:
        """The next piece of standard input, None at its end."""
        return bytes(piece) if (piece := await self.io.stdin.read_chunk()) is not None else None

    async def stdin(self) -> bytes:
        """All of standard input; a terminal is read line by line up to ^D."""
        data = b""
        while (piece := await self.chunk()) is not None:
            data += piece
            if data.startswith(TTY_TOKEN):
                return await self.typed()
        return data if self.machine.space is None else narrow_bytes(data)

    async def typed(self) -> bytes:
        """Lines typed at the terminal up to ^D."""
        tty, data = self.session.tty, b""
        while tty is not None and (line := await tty.readline()):
            data += line
        return data

    async def on_terminal(self) -> bool:
        """Is standard input the terminal? Consumes what is there if it is not."""
        piece = await self.chunk()
        return piece is not None and piece.startswith(TTY_TOKEN)

    def path(self, name: str) -> str:
        """`name` as an absolute path."""
        return posixpath.normpath(posixpath.join(str(self.io.cwd), name))

    def where(self, name: str) -> bytes:
        """`name` as an absolute path of bytes, links and dots as they are."""
        path = narrow(name)
        return path if path.startswith(b"/") else narrow(str(self.io.cwd)) + b"/" + path

    def read(self, name: str) -> bytes:
        """The contents of a file; `Fail` with the system's words where it cannot be read."""
        space = self.machine.space
        try:
            if space is not None and (data := space.read(self.where(name))) is not None:
                return data
            return bytes(self.io.fs.read_file(self.path(name)))
        except Lack as lack:
            raise Fail(f"{self.name}: {name}: {lack}\n") from None
        except (RuntimeError, OSError) as exc:
            raise Fail(f"{self.name}: {name}: {reason(exc)}\n") from None

    def write(self, name: str, data: bytes, *, append: bool = False) -> None:
        """Write or append to a file."""
        space = self.machine.space
        try:
            if space is not None:
                old = space.read(self.where(name)) or b"" if append and self.exists(name) else b""
                if space.write(self.where(name), old + data):
                    return
            fs, path = self.io.fs, self.path(name)
            fs.append_file(path, data) if append and fs.exists(path) else fs.write_file(path, data)
        except Lack as lack:
            raise Fail(f"{self.name}: {name}: {lack}\n") from None
        except (RuntimeError, OSError) as exc:
            raise Fail(f"{self.name}: {name}: {reason(exc)}\n") from None

    def exists(self, name: str) -> bool:
        """Does the path exist?"""
        if self.machine.space is not None:
            try:
                if not isinstance(self.machine.space.find(self.where(name)), Outside):
                    return True
            except Lack:
                return False
        return bool(self.io.fs.exists(self.path(name)))

    def is_dir(self, name: str) -> bool:
        """Is it a directory?"""
        if self.machine.space is not None and self.exists(name):
            place = self.machine.space.find(self.where(name))
            if not isinstance(place, Outside):
                return place.node.kind == "/"
        return self.exists(name) and self.io.fs.stat(self.path(name))["file_type"] == "directory"


def reason(exc: BaseException) -> str:
    """The errno text for an error of the virtual file system."""
    text = str(exc).lower()
    for sign, words in (
        ("read-only", "Read-only file system"),
        ("not found", "No such file or directory"),
        ("no such", "No such file or directory"),
        ("not a directory", "Not a directory"),
        ("is a dir", "Is a directory"),
        ("exists", "File exists"),
        ("not empty", "Directory not empty"),
        ("limit", "No space left on device"),
        ("permission", "Permission denied"),
    ):
        if sign in text:
            return words
    return "Input/output error"


Function = Callable[[Call], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Program:
    """A simulated program and where it is installed."""

    name: str
    path: str
    function: Function
    builtin: bool = False


PROGRAMS: dict[str, Program] = {}
FILE_PROGRAMS: dict[str, Program] = {}
"""Those that know the files of an installed host; elsewhere the virtual shell has its own."""


def programs(machine: Machine) -> dict[str, Program]:
    """The programs of a machine."""
    every = PROGRAMS if machine.space is None else PROGRAMS | FILE_PROGRAMS
    if not machine.lacks:
        return every
    return {name: known for name, known in every.items() if name not in machine.lacks}


def program(name: str, directory: str = "/usr/bin") -> Callable[[Function], Function]:
    """Register an async function that streams by itself and returns the exit status."""

    def enter(function: Function) -> Function:
        PROGRAMS[name] = Program(name, f"{directory}/{name}", function)
        return function

    return enter


def file_program(name: str, directory: str = "/usr/bin") -> Callable[[Function], Function]:
    """Register a program for machines whose files are known with all that they are."""

    def enter(function: Function) -> Function:
        FILE_PROGRAMS[name] = Program(name, f"{directory}/{name}", function)
        return function

    return enter


Plain = Callable[[Call], str]


def tool(name: str, directory: str = "/usr/bin") -> Callable[[Plain], Plain]:
    """Register a function that returns its standard output at once; `Fail` for the rest."""

    def enter(function: Plain) -> Plain:
        async def run(call: Call) -> int:
            await call.out(function(call))
            return 0

        PROGRAMS[name] = Program(name, f"{directory}/{name}", run)
        return function

    return enter


async def perform(program: Program, call: Call) -> int:
    """Run a program: refusals become text and status, being killed becomes 128 + signal."""
    if call.machine.shadowed:
        await call.err(f"{call.name}: not found\n")
        return 127
    if call.machine.on_command is not None:
        call.machine.on_command(call.machine, call.name, call.args)
    task = asyncio.ensure_future(_guarded(program, call))
    call.proc.task = task
    try:
        return await task
    except asyncio.CancelledError:
        if call.proc.signal and not call.session.ended:
            return 128 + call.proc.signal
        raise
    finally:
        call.machine.processes.pop(call.proc.pid, None)
        call.session.running.discard(call.proc)


async def _guarded(program: Program, call: Call) -> int:
    # What the shell has printed before goes out first: a program may take long.
    await asyncio.sleep(0)
    try:
        return await program.function(call)
    except Fail as refusal:
        await call.out(refusal.out)
        await call.err(refusal.err)
        return refusal.status
    except BrokenPipeError:
        return 128 + 13


def flags(args: list[str], with_value: str = "") -> tuple[dict[str, str], list[str]]:
    """getopt(3): letters (those in `with_value` take one) and the operands."""
    found: dict[str, str] = {}
    rest = list(args)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in with_value:
                value = letters or (rest.pop(0) if rest else "")
                found[letter] = value
                break
            found[letter] = ""
    return found, rest
