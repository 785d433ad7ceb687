"""Opening a line by its address."""

from __future__ import annotations

import os
import socket
import sys
import termios
import time
import tty
from typing import Any

import pexpect

from zrwizard.line.address import Address, LineError, parse
from zrwizard.line.spawn import ByteSpawn, Plain, ready
from zrwizard.line.telnet import Telnet

GREETING_SECONDS = 3.0
_SIZE = (24, 80)


def open_line(url: str | Address) -> Any:
    """Return an open pexpect spawn object for a console URL. Raises `LineError`."""
    address = parse(url) if isinstance(url, str) else url
    match address.kind:
        case "telnet":
            return _telnet(address)
        case "ssh":
            return _ssh(address)
        case "serial":
            return _serial(address)
        case _:
            return _pty(address.options.get("shell", "/bin/sh"), [], os.environ)


def _pty(program: str, args: list[str], env: Any) -> Any:
    clean = {k: v for k, v in env.items() if k in {"PATH", "HOME", "USER", "SSH_AUTH_SOCK"}}
    try:
        spawn = pexpect.spawn(
            program,
            args,
            env={**clean, "TERM": "vt100", "PS1": "# " if os.geteuid() == 0 else "$ "},
            dimensions=_SIZE,
            maxread=65536,
            timeout=30,
            use_poll=sys.platform != "darwin",
        )
    except pexpect.ExceptionPexpect as error:
        raise LineError(f"cannot start {program}: {error}.", "Is it installed?") from None
    spawn.delaybeforesend = None
    spawn.delayafterread = None
    spawn.delayafterclose = 0.05
    spawn.delayafterterminate = 0.05
    return spawn


def _ssh(address: Address) -> Any:
    user = f"{address.user}@" if address.user else ""
    args = ["-tt", "-e", "none", "-p", str(address.port), "-o", "ConnectTimeout=15"]
    args += ["-o", "ServerAliveInterval=15", "-o", "NumberOfPasswordPrompts=3"]
    return _pty("ssh", [*args, f"{user}{address.host}"], os.environ)


def _telnet(address: Address) -> ByteSpawn:
    where = f"{address.host}:{address.port}"
    try:
        sock = socket.create_connection((address.host, address.port), timeout=10)
    except ConnectionRefusedError:
        raise LineError(
            f"nobody listens at {where} (connection refused).",
            "Check the port, and that the machine or the terminal server is running.",
        ) from None
    except (TimeoutError, OSError) as error:
        reason = error.strerror or "timed out" if isinstance(error, OSError) else "timed out"
        raise LineError(
            f"cannot reach {where}: {reason}.", "Check the host name and the network."
        ) from None
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A telnetd may send the DM of IAC DM as urgent data; out of line, the IAC would be left
    # alone and eat the byte that follows (RFC 854, Synch).
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    if "raw" in address.options:
        return ByteSpawn(sock.detach(), where, Plain())
    return _greeted(ByteSpawn(sock.detach(), where, Telnet()), where)


def _greeted(spawn: ByteSpawn, where: str) -> ByteSpawn:
    """A telnet console greets at once; a connected but silent one is held by somebody else."""
    deadline = time.monotonic() + GREETING_SECONDS
    while time.monotonic() < deadline:
        if ready(spawn.child_fd, 0.1):
            return spawn
    spawn.close()
    raise LineError(
        f"{where} accepts the connection but says nothing: somebody else holds the console.",
        "Close the other telnet session, or add ?raw=1 for a plain TCP port without telnet.",
        taken=True,
    )


def _serial(address: Address) -> ByteSpawn:
    speed = address.options.get("speed", "115200")
    code = getattr(termios, f"B{speed}", None)
    if code is None:
        raise LineError(f"{speed} is no speed that a serial line has.", "FreeBSD 14: 115200.")
    try:
        fd = os.open(address.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise LineError(
            f"cannot open {address.path}: {error.strerror}.",
            "Check the device's name and that you may use it (group dialer or uucp).",
        ) from None
    try:
        tty.setraw(fd)
        mode = termios.tcgetattr(fd)
        mode[2] |= termios.CLOCAL | termios.CREAD
        mode[4] = mode[5] = code
        termios.tcsetattr(fd, termios.TCSANOW, mode)
    except termios.error:
        os.close(fd)
        raise LineError(f"{address.path} is not a serial device.", "Name a tty device.") from None
    return ByteSpawn(fd, address.path, Plain())
