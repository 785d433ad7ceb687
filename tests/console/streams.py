"""A FreeBSD console as facts/freebsd.md tells it, played over a real socket with real bytes.

It reacts to keys as loader, installer, getty and login do, hands over to a real sh on a pty, notes
every byte that is typed with the state that it was typed in, and notes an accident wherever a key
did something that nobody asked for.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pexpect

from zrwizard.line.telnet import QEMU_GREETING

RECORDED = Path(__file__).parent / "recorded"
VIDEO, DUAL, DUAL_VIDEO, SERIAL = (
    "Video",
    "Dual (Serial primary)",
    "Dual (Video primary)",
    "Serial",
)
CYCLE = (VIDEO, DUAL, DUAL_VIDEO, SERIAL)
QUERY = b"\x1b7\x1b[r\x1b[999;999H\x1b[6n\x1b8\x00"
CR, LF, ESC, BACKSPACE = 13, 10, 27, 8
TICK = 0.3
"""A loader's second."""


class Closed(Exception):
    """The other end hung up."""


@dataclass
class Machine:
    """One FreeBSD with one serial console. `start` names what stands there at power-on."""

    release: int = 14
    start: str = "menu"
    media: bool = True
    cons: str = DUAL
    countdown: int = 10
    several: bool = False
    password: str | None = None
    shell: tuple[str, ...] = ("/bin/dash",)
    loses: int = 0
    """How many key presses the loader's menu loses first."""
    lag: float = 0.0
    """Seconds that an answer to a key takes, before the kernel runs and at the login."""
    timed_out: bool = False
    """login(1) gives up once, right after it has asked for the password."""
    kernel_says: bytes = b""
    """Printed a moment after the first prompt that waits."""
    typed: list[tuple[str, int]] = field(default_factory=list)
    accidents: list[str] = field(default_factory=list)

    def __enter__(self) -> Machine:
        self.state = "off"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._peer: socket.socket | None = None
        self._env: set[str] = set()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        if self._peer is not None:
            with contextlib.suppress(OSError):
                self._peer.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)

    @property
    def url(self) -> str:
        return f"telnet://127.0.0.1:{self._listener.getsockname()[1]}"

    def typed_in(self, state: str) -> bytes:
        return bytes(byte for where, byte in self.typed if where == state)

    @property
    def host(self) -> str:
        return "" if self.media else "hostA"

    # -- the wire ---------------------------------------------------------------------------------

    def _serve(self) -> None:
        with contextlib.suppress(Closed, OSError):
            self._peer = self._listener.accept()[0]
            self.put(QEMU_GREETING)
            self._power_on()

    def put(self, data: bytes) -> None:
        assert self._peer is not None
        self._peer.sendall(data)

    def key(self, timeout: float | None = None) -> int | None:
        """Return the next byte that is typed, None after `timeout` seconds."""
        assert self._peer is not None
        if not select.select([self._peer], [], [], timeout)[0]:
            return None
        data = self._peer.recv(1)
        if not data:
            raise Closed
        self.typed.append((self.state, data[0]))
        return data[0]

    def pressed(self) -> int:
        """Wait for a key; a kernel message comes meanwhile where one was asked for."""
        if self.kernel_says:
            key = self.key(0.1)
            if key is not None:
                return key
            self.put(self.kernel_says)
            self.kernel_says = b""
        key = self.key()
        assert key is not None
        return key

    def cooked(self, echo: bool = True) -> str:
        """Read a line as the kernel's terminal driver does."""
        line = ""
        while True:
            key = self.pressed()
            char = chr(key)
            if key in (CR, LF):
                self.put(b"\r\n")
                return line
            if key in (BACKSPACE, 127) and line:
                line = line[:-1]
                self.put(b"\x08 \x08" if echo else b"")
            elif key == 0x15:
                self.put(b"\x08 \x08" * len(line) if echo else b"")
                line = ""
            elif key == 0x14:
                self.put(b"load: 0.12  cmd: login 766 [ttyin] 1.00r 0.00u 0.00s 0% 1234k\r\n")
            elif key not in (0x11, 0x13):
                line += char
                shown = char.encode() if key >= 32 else b"^" + bytes([key + 64])
                self.put(shown if echo else b"")

    def accident(self, what: str) -> None:
        self.accidents.append(what)

    # -- before the kernel ------------------------------------------------------------------------

    def _power_on(self) -> None:
        match self.start:
            case "menu" | "stopped":
                self._banner()
                self._menu()
            case "options":
                self._banner()
                self.countdown = 0
                self._options()
            case "no menu":
                self._banner()
                self._no_menu()
            case "ok":
                self._banner()
                self._loader_prompt()
            case "boot blocks":
                self._boot_blocks()
            case "single user" | "insecure":
                self._kernel()
                self._single_user()
            case "dialog":
                self._dialog()
            case "login":
                self._getty()
            case "mountroot" | "debugger":
                self._kernel_prompt()
            case _:
                raise AssertionError(self.start)

    def _banner(self) -> None:
        self.put(
            b"Consoles: internal video/keyboard  serial port  \r\n"
            b"BIOS drive C: is disk0\r\n\r\n"
            b"FreeBSD/x86 bootstrap loader, Revision 1.1\r\n"
            b"|\x08/\x08-\x08\\\x08Loading /boot/defaults/loader.conf\r\n\x1bc"
        )

    def _items(self) -> list[tuple[str, str]]:
        """The menu's items, in the loader's own bytes: letters in names are highlighted."""
        first = "\x1b[1mB\x1b[22moot Multi user \x1b[1m[Enter]\x1b[22m"
        if self.media and self.release >= 14:
            first = "\x1b[1mB\x1b[22moot Installer \x1b[1m[Enter]\x1b[22m"
        items = [
            ("boot", first),
            ("single", "Boot \x1b[1mS\x1b[22mingle user"),
            ("escape", "\x1b[1mEsc\x1b[22mape to loader prompt"),
            ("reboot", "\x1b[1mR\x1b[22meboot"),
        ]
        if self.release >= 13:
            items.append(("cons", f"\x1b[1mC\x1b[22mons: {self.cons}"))
        items.append(("kernel", "\x1b[1mK\x1b[22mernel: default/\x1b[32mkernel\x1b[39m (1 of 1)"))
        items.append(("options", "Boot \x1b[1mO\x1b[22mptions"))
        return items

    def _draw(self, items: list[tuple[str, str]]) -> None:
        out = ["\x1b[H\x1b[J\x1b[7;48H  \x1b[31m```      \x1b[31;1m`\x1b[8;48H s` `.....---"]
        out.append("\x1b[m\x1b[9;2H+\x1b[22;2H+\x1b[9;44H+\x1b[22;44H+")
        out.append(f"\x1b[9;3H{'-' * 41}\x1b[22;3H{'-' * 41}")
        out += [f"\x1b[{row};2H|\x1b[{row};44H|" for row in range(10, 22)]
        out.append("\x1b[9;13H Welcome to FreeBSD ")
        row = 11
        for number, (name, text) in enumerate(items, 1):
            if name == "kernel":
                out.append(f"\x1b[{row};5H\x1b[{row + 1};5HOptions:")
                row += 2
            out.append(f"\x1b[{row};5H{number}. {text}")
            row += 1
        out.append("\x1b[25;0H")
        # A slow line shows the menu bit by bit.
        for piece in out:
            self.put(piece.encode())
        time.sleep(0.02)

    def _counting(self) -> int | None:
        """Count down; return the key that stopped it, Enter where nobody did."""
        for left in range(self.countdown, -1, -1):
            text = f"Autoboot in {left} seconds. [Space] to pause "
            if self.release < 13:
                text = f"Autoboot in {left} seconds, hit [Enter] to boot or any other key to stop  "
            self.put(f"\x1b[23;4H{text}\r\n\x1b[25;0H".encode())
            key = self.key(TICK)
            if key is not None:
                if key != CR:
                    self.put(b"\x1b[23;0H" + b" " * 79 + b"\r\n\x1b[25;0H")
                return key
        return CR

    def _menu(self) -> None:
        self.state = "menu"
        items = self._items()
        self._draw(items)
        key = self._counting() if self.start == "menu" else self.pressed()
        while True:
            if key is not None and self.loses:
                self.loses -= 1
                key = self.pressed()
                continue
            name = "boot" if key == CR else self._item(items, key)
            match name:
                case "boot":
                    self._load()
                    return
                case "cons":
                    self.cons = CYCLE[(CYCLE.index(self.cons) + 1) % 4]
                case "options":
                    self.accident("boot options were opened")
                case "escape" | "reboot" | "single":
                    self.accident(f"the menu's item {name} was chosen")
            items = self._items()
            time.sleep(self.lag)
            if name:
                self._draw(items)
            key = self.pressed()

    def _item(self, items: list[tuple[str, str]], key: int | None) -> str:
        char = chr(key or 0).lower()
        if key == ESC:
            return "escape"
        if char.isdigit() and 0 < int(char) <= len(items):
            return items[int(char) - 1][0]
        return {"b": "boot", "s": "single", "r": "reboot", "c": "cons", "o": "options"}.get(
            char, ""
        )

    def _options(self) -> None:
        self.state = "options"
        self._draw(
            [
                ("back", "Back to main menu \x1b[1m[Backspace]\x1b[22m"),
                ("defaults", "Load System \x1b[1mD\x1b[22mefaults"),
                ("acpi", "\x1b[1mA\x1b[22mCPI       : \x1b[32mOn\x1b[37m"),
                ("safe", "Safe \x1b[1mM\x1b[22mode  : \x1b[31moff\x1b[37m"),
                ("single", "\x1b[1mS\x1b[22mingle user: \x1b[31moff\x1b[37m"),
                ("verbose", "\x1b[1mV\x1b[22merbose    : \x1b[31moff\x1b[37m"),
            ]
        )
        while (key := self.pressed()) not in (BACKSPACE, 127, ord("1")):
            self.accident(f"key {key} in the boot options")
        self._menu()

    def _no_menu(self) -> None:
        self.state = "counting"
        self.put(b"Hit [Enter] to boot immediately, or any other key for command prompt.\r\n")
        for left in range(9, 0, -1):
            self.put(f"\rBooting [/boot/kernel/kernel] in {left} seconds... ".encode())
            key = self.key(TICK)
            if key is not None:
                break
        if key not in (None, CR, LF):
            self.put(b"\r\n\r\n")
            self._loader_prompt()
        else:
            self.put(b"\rBooting [/boot/kernel/kernel]...               \r\n")
            self._load()

    def _loader_prompt(self) -> None:
        self.state = "ok"
        self.put(b"\r\nType '?' for a list of commands, 'help' for more detailed help.\r\nOK ")
        while True:
            words = self.cooked().split()
            if words == ["boot"]:
                self._load()
                return
            if words[:1] == ["set"] and len(words) == 2:
                self._env.add(words[1].replace('"', ""))
            elif words:
                self.accident(f"a command at the loader's prompt: {words}")
                self.put(b"Command failed\r\n")
            self.put(b"OK ")

    def _boot_blocks(self) -> None:
        self.state = "boot blocks"
        self.put(b"\r\nFreeBSD/x86 boot\r\nDefault: zroot/ROOT/default:/boot/loader\r\nboot: ")
        if line := self.cooked():
            self.accident(f"a path at the boot blocks: {line}")
        self._banner()
        self._menu()

    # -- the kernel -------------------------------------------------------------------------------

    def _load(self) -> None:
        self.state = "kernel"
        self.put(b"Loading kernel...\r\n/\x08-\x08/boot/kernel/kernel text=0xb4cc0 \\\x08|\x08\r\n")
        time.sleep(0.05)
        if "boot_multicons=YES" in self._env or "boot_serial=YES" in self._env:
            both = {"boot_multicons=YES", "boot_serial=YES"} <= self._env
            self.cons = (
                DUAL if both else DUAL_VIDEO if "boot_multicons=YES" in self._env else SERIAL
            )
        # 13's installer runs on the primary console only; later ones on every console.
        deaf = self.cons == VIDEO or (self.cons == DUAL_VIDEO and self.media and self.release <= 13)
        if deaf:
            self.accident(f"booted with the console on {self.cons}")
            while True:
                self.key()
        self._kernel()
        if self.media:
            self._installer()
        else:
            self._getty()

    def _kernel(self) -> None:
        self.state = "kernel"
        name = (
            "live-iso-power-on-to-shell.bin"
            if self.media
            else "server-power-on-to-login-and-shell.bin"
        )
        data = (RECORDED / name).read_bytes()
        end = b"Welcome to FreeBSD!" if self.media else b"\r\r\nFreeBSD/amd64"
        first = data.index(b"---<<BOOT>>---")
        text = data[first : data.index(end, first)].replace(b"14.0-", f"{self.release}.0-".encode())
        for at in range(0, len(text), 2048):
            self.put(text[at : at + 2048])
            time.sleep(0.01)

    def _kernel_prompt(self) -> None:
        self._kernel()
        self.state = self.start
        if self.start == "mountroot":
            self.put(
                b"Trying to mount root from zfs:zroot/ROOT/default []...\r\n"
                b"Mounting from zfs:zroot/ROOT/default failed with error 6.\r\n\r\n"
                b"Loader variables:\r\n  vfs.root.mountfrom=zfs:zroot/ROOT/default\r\n\r\n"
                b"Manual root filesystem specification:\r\n  <fstype>:<device> [options]\r\n"
                b"  ?               List valid disk boot devices\r\n\r\nmountroot> "
            )
        else:
            self.put(
                b"panic: page fault\r\ncpuid = 0\r\nKDB: enter: panic\r\n"
                b"[ thread pid 812 tid 100123 ]\r\nStopped at      kdb_enter+0x33: movq "
                b"$0,0x123(%rip)\r\ndb> "
            )
        while True:
            self.key()
            self.accident(f"a key at {self.start}")

    # -- the install media ------------------------------------------------------------------------

    def _installer(self) -> None:
        while True:
            self.state = "terminal"
            if self.several:
                self.put(b"Starting primary installer on ttyu0\r\n")
                self.put(b"Starting secondary installer on ttyv0\r\n")
            text = (
                "\nWelcome to FreeBSD!\n\n"
                "Please choose the appropriate terminal type for your system.\n"
                "Common console types are:\n   ansi     Standard ANSI terminal\n"
                "   vt100    VT100 or compatible terminal\n"
                "   xterm    xterm terminal emulator (or compatible)\n"
            )
            if self.release == 13:
                text += "   cons25w  cons25w terminal\n"
            self.put((text + "\nConsole type [vt100]: ").replace("\n", "\r\n").encode())
            chosen = self.cooked()
            if chosen not in ("", "vt100", "xterm", "ansi"):
                self.accident(f"an odd terminal type: {chosen!r}")
            if self.release >= 14:
                self._resizewin()
            if not self._dialog():
                return

    def _resizewin(self) -> None:
        before, self.state = self.state, "size query"
        self.put(QUERY)
        answer, until = "", time.monotonic() + 2.0
        while "R" not in answer and (left := until - time.monotonic()) > 0:
            key = self.key(left)
            answer += chr(key) if key is not None else ""
        if answer != "\x1b[24;80R":
            self.put(b"resizewin: timeout reading from terminal\r\n")
            self.accident(f"a size query was answered with {answer!r}")
        self.state = before

    def _dialog(self) -> bool:
        """The installer's first question; False when the machine goes on to multi-user."""
        self.state = "dialog"
        third = "Live System" if self.release >= 15 else "Live CD"
        self.put(self._dialog_bytes(third))
        while True:
            key = self.pressed()
            match chr(key).lower():
                case "i" | "\r" | "\n":
                    self.accident("an installation was started")
                case "s":
                    self.put(b"\x1b[24;1H\r\x1b[?1l\x1b>\x1b[H\x1b[J")
                    self.put(b"When finished, type 'exit' to return to the installer.\r\n")
                    self._run_shell("# ")
                    return True
                case "l":
                    self.put(b"\x1b[24;1H\r\x1b[?1l\x1b>")
                    self.put(b"Configuring vt: blanktime.\r\nStarting cron.\r\n\r\n")
                    self._getty()
                    return False
                case "\x1b" if self.release == 13:
                    self.accident("ESC left the dialog")

    def _dialog_bytes(self, third: str) -> bytes:
        if self.release == 14:
            data = (RECORDED / "live-iso-power-on-to-shell.bin").read_bytes()
            start = data.index(b"\x1b[1;24r")
            return data[start : data.index(b"\x1b[24;1H", start)]
        system = "system" if self.release >= 15 else "CD"
        left, right = ("[", "]") if self.release >= 15 else ("<", ">")
        rows = [
            " Welcome to FreeBSD! Would you like to",
            " begin an installation or use the live",
            f" {system}?",
        ]
        out = ["\x1b[1;24r\x1b[m\x1b[?7h\x1b[H\x1b[J FreeBSD Installer\r\n " + "-" * 78]
        out.append("\x1b[9;18H+" + "-" * 14 + " Welcome " + "-" * 18 + "+")
        out += [f"\x1b[{10 + n};18H|{row:<41}|" for n, row in enumerate(rows)]
        out.append("\x1b[13;18H+" + "-" * 41 + "+")
        buttons = "   ".join(
            f"{left}\x1b[7m\x1b[1m{name[0]}\x1b[m{name[1:]}\x1b[m{right}"
            for name in ("Install", "Shell", third)
        )
        out.append(f"\x1b[14;18H|   {buttons}\x1b[14;60H|\x1b[15;18H+{'-' * 41}+\x1b[14;24H")
        return "".join(out).encode()

    # -- getty, login, shells ---------------------------------------------------------------------

    def _getty(self) -> None:
        while True:
            self.state = "login"
            name = self.host or "Amnesiac"
            self.put(f"\r\r\nFreeBSD/amd64 ({name}) (ttyu0)\r\r\n\r\r\nlogin: ".encode())
            user = self._getty_name()
            while user and not self._admitted(user):
                self.state = "login"
                self.put(b"Login incorrect\r\nlogin: ")
                user = self.cooked()
            if user:
                self._logged_in()

    def _getty_name(self) -> str:
        """Read the account's name as getty(8) does: raw, ^U prints the prompt again."""
        name = ""
        while True:
            key = self.pressed()
            if key in (CR, LF):
                time.sleep(self.lag)
                self.put(b"\r\n")
                return name
            if key == 0x15:
                self.put(b"\r" + (b" " * 37 + b"\r" if name else b"") + b"login: ")
                name = ""
            elif key in (BACKSPACE, 127):
                self.put(b"\x08 \x08" if name else b"")
                name = name[:-1]
            elif key > 32:
                name += chr(key)
                self.put(bytes([key]))

    def _admitted(self, user: str) -> bool:
        if user == "root" and self.password is None:
            return True
        self.state = "password"
        time.sleep(self.lag)
        self.put(b"Password:")
        if self.timed_out:
            self.timed_out = False
            self.put(b"\r\nLogin timed out after 300 seconds\r\n")
            return False
        return self.cooked(echo=False) == self.password and user == "root"

    def _logged_in(self) -> None:
        host = self.host
        self.put(f"Nov 21 21:12:20 {host} login[766]: ROOT LOGIN (root) ON ttyu0\r\r\n".encode())
        self.put(f"FreeBSD {self.release}.0-RELEASE\r\n\r\nWelcome to FreeBSD!\r\n\r\n".encode())
        self._resizewin()
        self._run_shell(f"root@{host}:~ # ")

    def _single_user(self) -> None:
        if self.start == "insecure":
            self.state = "password"
            self.put(b"Enter root password, or ^D to go multi-user\r\nPassword:")
            while self.cooked(echo=False) != self.password:
                self.put(b"Password:")
        self.state = "single user"
        self.put(b"Enter full pathname of shell or RETURN for /bin/sh: ")
        if shell := self.cooked():
            self.accident(f"another shell than the default: {shell!r}")
        self._run_shell("root@:/ # ")

    def _run_shell(self, prompt: str) -> None:
        """A real sh on a real pty takes over."""
        self.state = "shell"
        assert self._peer is not None
        root = Path(tempfile.gettempdir()) / f"zrwizard-id-{os.getpid()}"
        root.mkdir(exist_ok=True)
        (root / "id").write_text("#!/bin/sh\necho 0\n")
        (root / "id").chmod(0o755)
        spawn = pexpect.spawn(
            self.shell[0],
            list(self.shell[1:]),
            env={"PATH": f"{root}:/usr/sbin:/usr/bin:/sbin:/bin", "PS1": prompt, "TERM": "vt100"},
            dimensions=(24, 80),
        )
        spawn.delayafterclose = spawn.delayafterterminate = 0.02
        try:
            self._bridge(spawn.child_fd)
        finally:
            spawn.close(force=True)

    def _bridge(self, master: int) -> None:
        assert self._peer is not None
        while True:
            ready = select.select([self._peer, master], [], [])[0]
            if master in ready:
                try:
                    data = os.read(master, 65536)
                except OSError:
                    return
                self.put(data)
            if self._peer in ready:
                data = self._peer.recv(65536)
                if not data:
                    raise Closed
                self.typed += [("shell", byte) for byte in data]
                while data:
                    data = data[os.write(master, data) :]


class Shown:
    """A peer that shows `screen` and nothing more, and notes what is typed."""

    def __init__(self, screen: bytes, then: bytes = b"") -> None:
        self._screen, self._then = screen, then
        self.typed = bytearray()

    def __enter__(self) -> Shown:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    @property
    def url(self) -> str:
        return f"telnet://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            peer = self._listener.accept()[0]
            peer.sendall(QEMU_GREETING + self._screen)
            peer.settimeout(60)
            while data := peer.recv(100):
                self.typed.extend(data)
                peer.sendall(self._then)


__all__ = ["CYCLE", "DUAL", "DUAL_VIDEO", "SERIAL", "VIDEO", "Machine", "Shown"]
