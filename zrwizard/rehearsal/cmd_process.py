"""Processes: daemon, kill, ps, timeout, sleep, sh; the terminal's stty; going down."""

from __future__ import annotations

import asyncio
import re
import shlex

from zrwizard.rehearsal.commands import DRAIN, Call, flags, program, tool
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.process import Process, interpreter, nested, played, spawn

LOGGED = re.compile(r"^\) *> *(\S+) 2>&1(?: *< */dev/null)?$", re.MULTILINE)
SIGNALS = {
    "HUP": 1,
    "INT": 2,
    "QUIT": 3,
    "KILL": 9,
    "TERM": 15,
    "STOP": 17,
    "CONT": 19,
    "USR1": 30,
    "USR2": 31,
}


@program("sleep", "/bin")
async def sleep(call: Call) -> int:
    """sleep(1) in simulated seconds."""
    try:
        seconds = sum(float(a.rstrip("s")) for a in call.args)
    except ValueError:
        raise Fail("usage: sleep number[unit] [...]\n") from None
    await call.machine.clock.sleep(seconds)
    return 0


@program("daemon", "/usr/sbin")
async def daemon(call: Call) -> int:
    """daemon(8): -f -c -p -P -o -t -r; the child pid file goes away with the child."""
    found, argv = flags(call.args, "pPotulmTHRs")
    if not argv:
        raise Fail("usage: daemon [-cfHrS] [-p child_pidfile] [-P supervisor_pidfile] ...\n")
    machine = call.machine
    log, pidfile = found.get("o"), found.get("p")
    cwd = "/" if "c" in found else str(call.io.cwd)
    name = argv[0].rpartition("/")[2]
    for path in (log, pidfile):
        if path is not None and not call.is_dir(call.path(path).rpartition("/")[0] or "/"):
            raise Fail(f"daemon: {path}: No such file or directory\n")

    # The call's own view of the files ends with the call: the child outlives it.
    log_at = call.path(log) if log is not None else ""
    pid_at = call.path(pidfile) if pidfile is not None else ""

    async def sink(data: bytes) -> None:
        if log_at:
            files, inner = machine.fs_for(log_at)
            files.append_file(inner, data)

    def ended(status: int) -> None:
        del status
        if pid_at:
            files, inner = machine.fs_for(pid_at)
            if files.exists(inner):
                files.remove(inner)

    if log is not None and not call.exists(log):
        call.write(log, b"")
    known = sh_text(call, argv[1:]) if name == "sh" else None

    def script(pid: int) -> str:
        return prepared(*known, pid) if known else shlex.join(argv)

    child = spawn(
        machine, script, shlex.join(argv), sink, cwd=cwd, env=dict(call.io.env), ended=ended
    )
    if pidfile is not None:
        call.write(pidfile, f"{child.pid}".encode())
    return 0


@program("nohup")
async def nohup(call: Call) -> int:
    """nohup(1)."""
    return await nested(call, call.args)


@program("setsid")
async def setsid(call: Call) -> int:
    """setsid(1)."""
    return await nested(call, call.args)


PATIENCE = 3.0
"""Real seconds that a command which is at work gets besides before timeout(1) ends it."""


@program("timeout")
async def timeout(call: Call) -> int:
    """timeout(1): status 124 when the time is over."""
    rest = list(call.args)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word in ("-s", "-k") and rest:
            rest.pop(0)
    if len(rest) < 2:
        raise Fail("usage: timeout [--signal sig | -s sig] duration command\n", 125)
    match = re.fullmatch(r"([\d.]+)([smhd]?)", rest[0])
    if match is None:
        raise Fail("timeout: invalid duration\n", 125)
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
    clock = call.machine.clock
    before = clock.sleeps
    task = asyncio.ensure_future(nested(call, rest[1:]))
    done, _ = await asyncio.wait({task}, timeout=seconds / clock.speed if seconds else None)
    if not done and not any(number > before for number in clock.asleep):
        # Nobody waits in simulated time: a real, busy processor is slow, and not the command.
        done, _ = await asyncio.wait({task}, timeout=min(seconds, PATIENCE))
    if done:
        return task.result()
    for proc in [p for p in call.machine.processes.values() if p.ppid == call.proc.pid]:
        proc.signal = 15
        if proc.task is not None:
            proc.task.cancel()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return 124


def sh_text(call: Call, words: list[str]) -> tuple[str, list[str]] | None:
    """Text and parameters of `sh words…`; None where it reads standard input."""
    options = [a for a in words if a.startswith(("-", "+")) and a not in ("-c", "-")]
    rest = [a for a in words if a not in options]
    if rest and rest[0] == "-c":
        if len(rest) < 2:
            raise Fail("sh: -c requires an argument\n", 2)
        text, params = rest[1], rest[3:]
    elif rest and rest[0] != "-":
        try:
            text = call.read(rest[0]).decode("utf-8", "surrogateescape")
        except Fail:
            raise Fail(f"sh: cannot open {rest[0]}: No such file or directory\n", 2) from None
        params = rest[1:]
    else:
        return None
    return ("set -e\n" if any("e" in o for o in options) else "") + text, params


def prepared(text: str, params: list[str], pid: int) -> str:
    """The script with its parameters set and `$$` filled in, which bashkit has as 1."""
    head = f"set -- {shlex.join(params)}\n" if params else ""
    if (found := LOGGED.search(text)) and re.search(r"^\($", text, re.MULTILINE):
        # The virtual shell fills a compound command's file when it ends; a log must grow.
        text = LOGGED.sub(r") </dev/null", text)
        text = re.sub(r"^\($", f"__log {found[1]}\n(", text, count=1, flags=re.MULTILINE)
    return head + re.sub(r"(?<!\\)\$\$", str(pid), text)


@program("sh", "/bin")
async def sh(call: Call) -> int:
    """sh(1): -c text, a script file, or standard input; -n only parses."""
    known = sh_text(call, call.args)
    text, params = known or ((await call.stdin()).decode("utf-8", "surrogateescape"), [])
    if any(a.startswith("-") and "n" in a for a in call.args if a != "--"):
        try:
            interpreter().analyze(text)
        except Exception as exc:  # bashkit's own error type
            raise Fail(f"sh: Syntax error: {exc}\n", 2) from None
        return 0
    words = ["sh", *call.args]
    script = shlex.join(words)
    if played(script) == script:
        script = prepared(text, params, call.proc.pid)
    return await nested(call, words, script=script)


def _pids(call: Call, words: list[str]) -> list[Process]:
    found: list[Process] = []
    for word in words:
        if not re.fullmatch(r"-?\d+", word):
            raise Fail(f"kill: illegal process id: {word}\n", 2)
        number = int(word)
        if number < 0:
            found += [p for p in call.machine.processes.values() if p.group == -number]
        elif number in call.machine.processes:
            found.append(call.machine.processes[number])
        else:
            raise Fail(f"kill: {word}: No such process\n")
        if not found:
            raise Fail(f"kill: {word}: No such process\n")
    return found


@tool("kill", "/bin")
def kill(call: Call) -> str:
    """kill(1): by pid or by process group; -0 only looks."""
    words = list(call.args)
    signal = 15
    if words and (words[0] == "-s" and len(words) > 1):
        signal = SIGNALS.get(words[1].upper().removeprefix("SIG"), 15)
        words = words[2:]
    elif words and words[0] == "-l":
        return "hup int quit kill term stop cont\n"
    elif words and words[0].startswith("-") and (len(words) > 1 or not words[0][1:].isdigit()):
        name = words.pop(0)[1:]
        signal = int(name) if name.isdigit() else SIGNALS.get(name.upper().removeprefix("SIG"), 15)
    words = [w for w in words if w != "--"]
    if not words:
        raise Fail("usage: kill [-s signal_name] pid ...\n", 2)
    for proc in _pids(call, words):
        if signal and proc is not call.proc:
            proc.signal = signal
            _stop(call, proc, signal)
    return ""


def _stop(call: Call, proc: Process, signal: int) -> None:
    if signal in (17, 19, 30, 31):
        return
    for child in [p for p in call.machine.processes.values() if p.ppid == proc.pid]:
        if child is not call.proc and proc.task is not None and child.group == proc.group:
            child.signal = 1
            _stop(call, child, signal)
    if proc.task is not None:
        proc.task.cancel()
    elif proc.signalled is not None:
        proc.signalled(signal)


def _matching(call: Call, found: dict[str, str], names: list[str]) -> list[Process]:
    """The processes that pgrep(1) finds: -P parents, -F a pid file, -f and -x patterns."""
    pids: list[int] = []
    if "F" in found:
        try:
            pids = [int(call.read(found["F"]).split()[0])]
        except Fail:
            raise Fail(f"{call.name}: Cannot open pidfile `{found['F']}'\n", 3) from None
        except (ValueError, IndexError):
            raise Fail(f"{call.name}: Invalid pid in file `{found['F']}'\n", 3) from None
    if not names and not pids and "P" not in found:
        raise Fail(f"usage: {call.name} [-LSfilnoqvx] pattern ...\n", 2)

    def fits(process: Process) -> bool:
        title = process.command.split()[0].rstrip(":").rpartition("/")[2]
        if "f" in found or call.machine.space is None:
            title = process.command
        search = re.fullmatch if "x" in found else re.search
        return not names or any(search(name, title) for name in names)

    return [
        p
        for p in call.machine.processes.values()
        if p is not call.proc
        and ("P" not in found or str(p.ppid) in found["P"].split(","))
        and ("F" not in found or p.pid in pids)
        and fits(p)
    ]


@tool("pkill", "/bin")
def pkill(call: Call) -> str:
    """pkill(1) -P parent, -F pid file and -f pattern."""
    given = [a for a in call.args if re.fullmatch(r"-(\d+|[A-Z]{2,})", a)]
    found, names = flags([a for a in call.args if a not in given], "PguFG")
    chosen = _matching(call, found, names)
    if not chosen:
        raise Fail("", 1)
    name = given[0][1:].removeprefix("SIG") if given else "TERM"
    number = int(name) if name.isdigit() else SIGNALS.get(name, 15)
    for proc in chosen:
        proc.signal = number
        _stop(call, proc, number)
    return ""


@tool("pgrep", "/bin")
def pgrep(call: Call) -> str:
    """pgrep(1) -P parent, -F pid file, -f and -x pattern."""
    found, names = flags(call.args, "PguFG")
    chosen = _matching(call, found, names)
    if not chosen:
        raise Fail("", 1)
    return "".join(f"{p.pid}\n" for p in chosen)


@tool("ps", "/bin")
def ps(call: Call) -> str:
    """ps(1): -o columns, -p pids."""
    found, _ = flags(call.args, "opUt")
    columns = found.get("o", "pid,tt,stat,time,command").split(",")
    heads = {
        "pid": "PID",
        "ppid": "PPID",
        "pgid": "PGID",
        "command": "COMMAND",
        "args": "COMMAND",
        "tt": "TT ",
        "stat": "STAT",
        "time": "TIME",
        "comm": "COMMAND",
        "state": "STAT",
        "user": "USER",
    }
    fixed = [
        Process(0, 0, "[kernel]"),
        Process(1, 0, "/sbin/init"),
        Process(15, 1, "sh /etc/rc autoboot"),
    ]
    procs = sorted([*fixed, *call.machine.processes.values()], key=lambda p: p.pid)
    if "p" in found:
        wanted = re.split(r"[ ,]+", found["p"])
        procs = [p for p in procs if str(p.pid) in wanted]
    text = ""
    bare = all(c.endswith("=") for c in columns)
    names = [c.partition("=")[0] for c in columns]
    if not bare:
        text = (
            " ".join(
                heads.get(n, n.upper()).rjust(4)
                if n.endswith("pid") or n == "pid"
                else heads.get(n, n.upper())
                for n in names
            )
            + "\n"
        )
    for p in procs:
        values = {
            "pid": f"{p.pid:4d}",
            "ppid": f"{p.ppid:4d}",
            "pgid": f"{p.group:4d}",
            "command": p.command,
            "args": p.command,
            "tt": "u0 ",
            "stat": "S   ",
            "time": "0:00.01",
            "comm": p.command.split()[0],
            "state": "S   ",
            "user": "root",
        }
        text += " ".join(values.get(n, "-") for n in names) + "\n"
    if "p" in found and not procs:
        raise Fail("", 1, text)
    return text


@program("stty", "/bin")
async def stty(call: Call) -> int:
    """stty(1) on the terminal: echo, cols, rows, sane, -a, size."""
    tty = call.session.tty
    if tty is None or not await call.on_terminal():
        raise Fail("stty: stdin isn't a terminal\n")
    words = list(call.args)
    while words:
        word = words.pop(0)
        if word in ("echo", "-echo"):
            tty.echo = word == "echo"
        elif word in ("opost", "-opost"):
            # As TCSADRAIN: what was printed before goes out first.
            await asyncio.sleep(DRAIN if tty.opost != (word == "opost") else 0)
            tty.opost = word == "opost"
        elif word in ("cols", "columns", "rows") and words:
            setattr(tty, "rows" if word == "rows" else "cols", int(words.pop(0)))
        elif word == "sane":
            tty.echo = tty.canonical = tty.signals = tty.opost = True
        elif word in ("raw", "-raw", "cooked", "icanon", "-icanon"):
            tty.canonical = tty.signals = word in ("-raw", "cooked", "icanon")
        elif word == "size":
            await call.out(f"{tty.rows} {tty.cols}\n")
        elif word in ("-a", "-g", "all", "everything"):
            await call.out(
                f"speed 115200 baud; {tty.rows} rows; {tty.cols} columns;\n"
                f"lflags: icanon isig iexten {'' if tty.echo else '-'}echo\n"
                f"oflags: {'' if tty.opost else '-'}opost onlcr\n"
                "iflags: icrnl ixon ixany imaxbel\n"
            )
    return 0


@program("reboot", "/sbin")
async def reboot(call: Call) -> int:
    """reboot(8)."""
    call.machine.go_down("reboot")
    await asyncio.Event().wait()
    return 0


async def _shutdown(call: Call, name: str, how: str) -> int:
    await call.out(f"Shutdown NOW!\n{name}: [pid {call.proc.pid}]\n")
    loop = asyncio.get_running_loop()
    loop.call_later(0.3 / call.machine.clock.speed, call.machine.go_down, how)
    return 0


@program("poweroff", "/sbin")
async def poweroff(call: Call) -> int:
    """poweroff(8)."""
    return await _shutdown(call, "poweroff", "poweroff")


@program("shutdown", "/sbin")
async def shutdown(call: Call) -> int:
    """shutdown(8) -p now and -r now."""
    if "now" not in call.args:
        raise Fail("usage: shutdown [-] [-c | -h | -p | -r | -k] time [warning-message ...]\n")
    return await _shutdown(call, "shutdown", "reboot" if "-r" in call.args else "poweroff")


@program("halt", "/sbin")
async def halt(call: Call) -> int:
    """halt(8) -p powers off."""
    call.machine.go_down("poweroff")
    await asyncio.Event().wait()
    return 0
