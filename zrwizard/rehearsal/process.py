"""Processes and shell sessions of a simulated machine, over bashkit's interpreter."""

from __future__ import annotations

import asyncio
import re
import shlex
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from zrwizard.rehearsal.commands import Call, Program, perform, programs
from zrwizard.rehearsal.errors import RehearsalUnavailable

if TYPE_CHECKING:
    from zrwizard.rehearsal.machine import Machine
    from zrwizard.rehearsal.tty import Tty

Sink = Callable[[bytes], Awaitable[None]]
SIGINT, SIGTERM = 2, 15

HELPERS = r"""
read() {
  builtin read "$@" || return 1
  for __zr_name in "$@"; do
    case $__zr_name in -*) continue;; esac
    eval "__zr_seen=\$$__zr_name"
    case $__zr_seen in
    ?TTY) __zr_seen=$(__tty_read "$@") || return 1; eval "$__zr_seen"; return;;
    esac
  done
}
command_not_found_handle() { echo "sh: $1: not found" >&2; return 127; }
"""
RAW_PRINTF = r"""
printf() { case $1 in %b) __raw "$2";; *) builtin printf "$@";; esac; }
wait() { builtin wait "$@"; __zr_status=$?; __settle; return $__zr_status; }
"""
"""Where names may be any bytes: what %b makes of octal digits must survive the virtual shell.
And where a fifo is read in the background, what the reader prints is there after `wait`, which is
for real: the reader may come to its promise only then."""


def helpers(machine: Machine) -> str:
    """The functions that every shell of a machine begins with."""
    return HELPERS if machine.space is None else HELPERS + RAW_PRINTF


@dataclass(eq=False, slots=True)
class Process:
    """An entry of the process table."""

    pid: int
    ppid: int
    command: str
    task: asyncio.Future[int] | None = None
    signal: int = 0
    group: int = 0
    signalled: Callable[[int], None] | None = None
    """What a daemon does that gets a signal."""


@dataclass(eq=False, slots=True, weakref_slot=True)
class Session:
    """One shell: its interpreter, its terminal if it has one, what runs in the foreground."""

    machine: Machine
    process: Process
    tty: Tty | None = None
    carry: Callable[[int], Awaitable[int]] | None = None
    """Of how many bytes the wire took when so many of a stream are given to it."""
    bash: Any = None
    running: set[Process] = field(default_factory=set)
    ended: bool = False
    log: str = ""
    """Where a detached session writes what it prints."""
    umask: int = 0o022
    reported: list[str] | None = None
    """What the prompt wants to know after a line: status, PS1, PS2, whether PS1 is set."""

    async def run(self, script: str, out: Sink, err: Sink | None = None) -> tuple[int, str]:
        """Run `script`; its exit status and the interpreter's own complaint, if any."""
        self.machine.umask = self.umask
        text = played(script)
        result = await self.bash.execute(text, stdout=out, stderr=in_sh_words(err or out))
        if self.machine.ufs and self.machine.space is not None:
            # What the shell has written gets the permissions that its umask leaves.
            self.machine.umask = self.umask
            self.machine.space.sync()
        return int(result.exit_code), str(result.error or "")

    def interrupt(self, signal: int = SIGINT) -> None:
        """^C: stop what runs in the foreground, and the script around it."""
        self.bash.cancel()
        for proc in list(self.running):
            proc.signal = signal
            if proc.task is not None:
                proc.task.cancel()


PLAYED = re.compile(r"(?<![\w/])sh +(?='?[^\s']*/(mover|lanes|measure)\.sh)")


def played(text: str) -> str:
    """A script in which these are programs of `cmd_mover`: the virtual shell cannot run them."""
    return PLAYED.sub(lambda found: f"__{found[1]} ", text)


def in_sh_words(sink: Sink) -> Sink:
    """Pass error text on as FreeBSD's sh would word it."""

    async def write(data: bytes) -> None:
        text = re.sub(rb"^(?:bash|sh): line \d+: ", b"sh: ", data, flags=re.MULTILINE)
        text = re.sub(rb"(\S+): command not found.*", rb"\1: not found", text)
        text = re.sub(
            rb"^sh: (\S+): filesystem is read-only",
            rb"sh: cannot create \1: Read-only"
            rb" file system",
            text,
            flags=re.MULTILINE,
        )
        await sink(text)

    return write


def interpreter(**settings: Any) -> Any:
    """A bashkit interpreter without its limits on calls, or a sentence why there is none."""
    try:
        from bashkit import Bash, ExecutionProfile  # noqa: PLC0415 - no wheel on every system
    except ImportError as exc:
        raise RehearsalUnavailable(
            "The rehearsal needs the Python package bashkit, which has no build for this system; "
            "run the rehearsal on Linux, macOS or Windows. Everything else of zrwizard works "
            "here."
        ) from exc
    return Bash(
        profile=ExecutionProfile.Interactive,
        max_commands=10**12,
        max_loop_iterations=10**12,
        **settings,
    )


def new_session(
    machine: Machine,
    command: str,
    tty: Tty | None = None,
    *,
    parent: int = 1,
    env: dict[str, str] | None = None,
    cwd: str = "/",
) -> Session:
    """A shell process with an interpreter that sees the machine's files and programs."""
    process = machine.new_process(command, parent)
    session = Session(machine, process, tty)
    base = {
        "HOME": machine.home,
        "PATH": "/sbin:/bin:/usr/sbin:/usr/bin",
        "USER": "root",
        "TERM": "vt100",
        "LOGNAME": "root",
        "SHELL": "/bin/sh",
    }
    bash = interpreter(
        username="root", hostname=machine.hostname or "localhost", cwd=cwd, env=base | (env or {})
    )
    # The interpreter is Rust: a cycle through it is never collected, its descriptors neither.
    seen = weakref.ref(session)
    for entry in programs(machine).values():
        for name in (entry.name, entry.path):
            bash.add_command(name, partial(_called, machine, seen, entry, name))
    for path, fs, read_only in machine.mounted_files():
        bash.mount(path, fs, read_only=read_only)
    session.bash = bash
    machine.shells.add(session)
    return session


async def _called(
    machine: Machine, seen: weakref.ref[Session], entry: Program, typed: str, io: Any
) -> int:
    session = seen()
    assert session is not None  # noqa: S101 - it is what runs this
    args = [str(a) for a in io.argv]
    proc = machine.new_process(shlex.join([entry.name, *args]), session.process.pid)
    proc.group = session.process.group
    session.running.add(proc)
    return await perform(entry, Call(machine, session, entry.name, args, io, proc, typed))


def spawn(
    machine: Machine,
    script: Callable[[int], str],
    command: str,
    sink: Sink,
    *,
    cwd: str = "/",
    env: dict[str, str] | None = None,
    ended: Callable[[int], None] | None = None,
) -> Process:
    """Start `script(pid)` detached; it lives until it ends, is killed, or the machine goes down."""
    session = new_session(machine, command, parent=1, env=env, cwd=cwd)
    process = session.process
    process.group = process.pid

    async def print_(data: bytes) -> None:
        if not session.log:
            await sink(data)
            return
        fs, path = machine.fs_for(session.log)
        fs.append_file(path, data)

    async def live() -> int:
        status = 128 + SIGTERM
        try:
            await session.run(helpers(machine), print_)
            status, complaint = await session.run(script(process.pid), print_)
            if complaint:
                await print_(f"sh: {complaint}\n".encode())
        finally:
            session.ended = True
            machine.processes.pop(process.pid, None)
            for proc in list(session.running):
                if proc.task is not None:
                    proc.task.cancel()
            if ended is not None:
                ended(status)
        return status

    process.task = asyncio.ensure_future(live())
    machine.detached.add(process.task)
    process.task.add_done_callback(machine.detached.discard)
    return process


async def nested(
    call: Call,
    argv: list[str],
    *,
    out: Sink | None = None,
    err: Sink | None = None,
    script: str | None = None,
) -> int:
    """Run another command from inside a command (timeout, env, ssh's far end)."""
    known = programs(call.machine)
    program = known.get(argv[0].rpartition("/")[2]) if argv else None
    if program is not None and script is None and out is None:
        inner = Call(
            call.machine,
            call.session,
            program.name,
            argv[1:],
            call.io,
            call.machine.new_process(shlex.join(argv), call.proc.pid),
            argv[0],
        )
        call.session.running.add(inner.proc)
        return await perform(program, inner)
    session = new_session(
        call.machine,
        argv[0] if argv else "sh",
        call.session.tty,
        parent=call.proc.pid,
        env=dict(call.io.env),
        cwd=str(call.io.cwd),
    )
    session.carry, session.umask = call.session.carry, call.session.umask
    try:
        await session.run(helpers(call.machine), call.err)
        status, complaint = await session.run(
            script if script is not None else shlex.join(argv),
            out or call.out,
            err or call.err,
        )
        if complaint and "pipe reader closed" not in complaint:
            await (err or call.err)(f"sh: {complaint}\n".encode())
        return status
    finally:
        session.ended = True
        call.machine.processes.pop(session.process.pid, None)
