"""service(8), sysrc(8) and logger(1) (facts/freebsd.md C6, and the recorded session)."""

from __future__ import annotations

import re
import shlex

from zrwizard.rehearsal.commands import Call, flags, program, tool
from zrwizard.rehearsal.daemonfiles import place, write
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.sshdstate import MAIN, Sshd, checked, new_key

RC_CONF = "/etc/rc.conf"
SANITY = "Performing sanity check on sshd configuration.\n"
PROGRAMS = {
    "ntpd": "/usr/sbin/ntpd -p /var/db/ntp/ntpd.pid -c /etc/ntp.conf -f /var/db/ntp/ntpd.drift -g",
    "powerd": "/usr/sbin/powerd",
    "cron": "/usr/sbin/cron -s",
    "syslogd": "/usr/sbin/syslogd -s",
    "sendmail": "sendmail: accepting connections (sendmail)",
    "newsyslog": "",
    "netif": "",
    "routing": "",
    "zfs": "",
    "geli": "",
    "tmp": "",
    "var": "",
    "hostname": "",
    "dumpon": "",
    "sysctl": "",
}
STEPS = ("start", "stop", "restart", "status", "reload", "enabled", "rcvar")


@program("service", "/usr/sbin")
async def service(call: Call) -> int:
    """service(8): start, stop, restart, reload and status, with one, force and quiet before."""
    found, words = flags(call.args)
    if "e" in found:
        await call.out("".join(f"/etc/rc.d/{n}\n" for n in ("ntpd", "sshd", "cron", "syslogd")))
        return 0
    if len(words) < 2:
        raise Fail("usage: service [-j <jail name or id>] [-v] [-E var=value] <rc.d> <action>\n")
    name, action = words[:2]
    if name not in ("sshd", *PROGRAMS) and place(call.machine, f"{LOCAL}/{name}") is None:
        raise Fail(
            "",
            out=f"{name} does not exist in /etc/rc.d or the local startup\n"
            "directories (/usr/local/etc/rc.d), or is not executable\n",
        )
    match = re.fullmatch(r"(one|force|quiet|fast)?(\w+)", action)
    verb = match[2] if match else ""
    by_force = bool(match and match[1] in ("one", "force"))
    if verb not in STEPS:
        raise Fail(f"/etc/rc.d/{name}: unknown directive '{action}'.\n")
    if verb in ("start", "stop", "restart", "reload", "status") and not by_force:
        _enabled(call, name, verb)
    if verb == "enabled":
        return 0 if value(call.machine, f"{name}_enable").upper() == "YES" else 1
    if name == "sshd":
        return await _sshd(call, verb)
    return await _other(call, name, verb)


LOCAL = "/usr/local/etc/rc.d"


def _enabled(call: Call, name: str, verb: str) -> None:
    """rc.subr refuses what rc.conf has not switched on."""
    switch = f"{name}_enable"
    on = value(call.machine, switch).upper() in ("YES", "TRUE", "ON", "1")
    always = name in PROGRAMS and name not in ("powerd", "ntpd", "zfs", "geli", "sendmail")
    if on or always:
        return
    raise Fail(
        f"Cannot '{verb}' {name}. Set {switch} to YES in /etc/rc.conf or use 'one{verb}' instead "
        f"of '{verb}'.\n"
    )


def _main(m: Machine) -> Sshd | None:
    """The sshd that rc.d knows: the one of /etc/ssh/sshd_config and its pid file."""
    return next((s for s in m.sshds if s.pid_file == "/var/run/sshd.pid"), None)


async def _sshd(call: Call, verb: str) -> int:
    m, running = call.machine, _main(call.machine)
    if verb == "status":
        await call.out(
            f"sshd is running as pid {running.pid}.\n" if running else "sshd is not running.\n"
        )
        return 0 if running else 1
    if verb == "start" and running is not None:
        raise Fail(f"sshd already running? (pid={running.pid}).\n")
    if verb in ("stop", "reload") and running is None:
        raise Fail("sshd not running? (check /var/run/sshd.pid).\n")
    if verb in ("start", "restart"):
        await _missing_keys(call)
    if verb != "stop":
        # The file is looked at before anything is stopped: a bad one changes nothing.
        await call.out(SANITY)
        try:
            checked(m, MAIN)
        except Fail as refusal:
            await call.err(refusal.err)
            routine = "precmd" if verb == "start" else f"{verb}_precmd"
            await call.err(f"/etc/rc.d/sshd: WARNING: failed {routine} routine for sshd\n")
            return 1
    if verb == "reload" and running is not None:
        running.signal(m, 1)
        return 0
    if verb in ("stop", "restart") and running is not None:
        await call.out(f"Stopping sshd.\nWaiting for PIDS: {running.pid}.\n")
        running.stop(m)
    if verb == "stop":
        return 0
    if verb == "restart":
        await call.out(SANITY)
    await call.out("Starting sshd.\n")
    Sshd.start(m, MAIN, ())
    return 0


async def _missing_keys(call: Call) -> None:
    """Host keys are made where there are none, as by the first start."""
    for kind in ("rsa", "ecdsa", "ed25519"):
        path = f"/etc/ssh/ssh_host_{kind}_key"
        if call.exists(path):
            continue
        await call.out(f"Generating {kind.upper()} host key.\n")
        private, public = new_key(call.machine, f"root@{call.machine.hostname}")
        try:
            call.write(path, private)
            call.write(f"{path}.pub", public)
        except Fail as refusal:
            words = refusal.err.rpartition(": ")[2].strip()
            await call.err(
                f'Saving key "{path}" failed: {words}\r\n'
                f"ssh-keygen: {path}.pub: No such file or directory\r\n"
            )


async def _other(call: Call, name: str, verb: str) -> int:
    m = call.machine
    command = PROGRAMS.get(name, f"/usr/local/libexec/{name}")
    running = [p for p in m.processes.values() if command and p.command == command]
    if verb == "status":
        words = f"is running as pid {running[0].pid}." if running else "is not running."
        await call.out(f"{name} {words}\n")
        return 0 if running else 1
    if not command:
        return 0
    if verb == "start" and running:
        raise Fail(f"{name} already running? (pid={running[0].pid}).\n")
    if verb in ("stop", "restart"):
        if not running and verb == "stop":
            raise Fail(f"{name} not running? (check /var/run/{name}.pid).\n")
        for process in running:
            await call.out(f"Stopping {name}.\nWaiting for PIDS: {process.pid}.\n")
            m.processes.pop(process.pid, None)
    if verb in ("start", "restart"):
        if name == "powerd" and "dev.cpu.0.freq_levels" not in m.sysctls:
            raise Fail(
                "powerd: no cpufreq(4) support -- aborting: No such file or directory\n"
                "/etc/rc.d/powerd: WARNING: failed to start powerd\n",
                out="Starting powerd.\n",
            )
        await call.out(f"Starting {name}.\n")
        m.new_process(command)
    return 0


# sysrc


def _settings(data: bytes) -> dict[str, str]:
    """NAME="value" lines, the last of a name counts."""
    found: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        match = re.match(r"\s*([A-Za-z_]\w*)=(.*)$", line)
        if match is not None:
            try:
                parts = shlex.split(match[2], comments=True)
            except ValueError:
                parts = [match[2]]
            found[match[1]] = parts[0] if parts else ""
    return found


def value(m: Machine, name: str) -> str:
    """What rc.conf says of a variable, then its default."""
    from zrwizard.rehearsal.daemonfiles import read  # noqa: PLC0415 - not to hide `read` below

    for path in ("/etc/rc.conf.local", RC_CONF, "/etc/defaults/rc.conf"):
        found = _settings(read(m, path) or b"")
        if name in found:
            return found[name]
    return ""


@tool("sysrc", "/usr/sbin")
def sysrc(call: Call) -> str:
    """sysrc(8): show, set, -n, -x, -c, -i, -f."""
    found, names = flags(call.args, "fjRs")
    path = found.get("f", RC_CONF)
    text = ""
    for item in names:
        data = call.read(path) if call.exists(path) else b""
        known = _settings(data)
        if "f" not in found:
            known = (
                _settings(call.read("/etc/defaults/rc.conf")) | known
                if call.exists("/etc/defaults/rc.conf")
                else known
            )
        name, sign, new = item.partition("=")
        name = name.removesuffix("+").removesuffix("-")
        if "x" in found:
            if name not in _settings(data):
                raise Fail(f"sysrc: unknown variable '{name}'\n", out=text)
            _store(call, path, _without(data, name))
            continue
        if not sign:
            if name not in known:
                if "i" in found:
                    continue
                raise Fail(f"sysrc: unknown variable '{name}'\n", out=text)
            text += f"{known[name]}\n" if "n" in found else f"{name}: {known[name]}\n"
            continue
        if "c" in found:
            if known.get(name) != new:
                raise Fail("", 1, text)
            continue
        _store(call, path, _with(data, name, new))
        text += f"{name}: {known.get(name, '')} -> {new}\n"
    return text


def _store(call: Call, path: str, data: bytes) -> None:
    try:
        call.write(path, data)
    except Fail as refusal:
        words = refusal.err.rpartition(": ")[2].strip()
        raise Fail(f"/usr/sbin/sysrc: cannot create {path}: {words}\n") from None


def _with(data: bytes, name: str, new: str) -> bytes:
    line = f'{name}="{new}"'.encode()
    pattern = re.compile(rb"^\s*" + name.encode() + rb"=.*$", re.MULTILINE)
    if pattern.search(data):
        return pattern.sub(lambda _: line, data)
    return data + (b"" if not data or data.endswith(b"\n") else b"\n") + line + b"\n"


def _without(data: bytes, name: str) -> bytes:
    return re.sub(rb"(?m)^\s*" + name.encode() + rb"=.*\n?", b"", data)


@tool("logger")
def logger(call: Call) -> str:
    """logger(1): a line in /var/log/messages."""
    found, words = flags(call.args, "Pfhtp46AS")
    m = call.machine
    line = f"{m.clock.stamp()} {m.hostname} {found.get('t', 'root')}: {' '.join(words)}\n"
    write(m, "/var/log/messages", line.encode(), append=True)
    return ""
