"""A console on which our quiet shell does not stand any more: what shows it, and how it is told.

That shell echoes nothing and prints nothing but frames, so that all else comes from the kernel, or
from whoever has the console now (facts on FreeBSD, A3 to A12).
"""

from __future__ import annotations

import re

from zrwizard.console.errors import MachineLost, Restarted
from zrwizard.console.screen import Screen
from zrwizard.console.states import BEFORE_KERNEL, State

NOW = "Look at the machine, then start zrwizard again: it looks at what was done."
# Menus, dialogs and size queries place the cursor, which kernel messages and line editors do not.
# A line editor erases what stands below it, as busybox' does when a window's size changes; what
# draws a screen anew goes to its corner first (facts A5), or erases all of it.
_STRANGE = re.compile(rb"\x1b\[[0-9;]*[Hr]|\x1b\[[0-9;]*[1-9][0-9;]*J|\x1b[c78]|Console type \[")
# What no kernel says that goes on: of firmware, boot blocks, loaders, and of a system's first and
# last moments. A key that is typed behind a panic would keep the machine from restarting.
_ANEW = re.compile(
    rb"---<<BOOT>>---|Autoboot in |bootstrap loader|EFI loader|EFI boot block"
    rb"|SeaBIOS \(version|Loading kernel\.\.\.|/boot/kernel/kernel (?:text|size)="
    rb"|^(?:Booting from (?:Hard|DVD|CD|Floppy|ROM)|iPXE \d|GNU GRUB|Loading /boot/"
    rb"|Can't find /boot/|FreeBSD/\S+ boot$|BIOS drive [A-Z]: |Missing boot loader$"
    rb"|Copyright \(c\) 1992-\d+ The FreeBSD Project|\[ +0\.000000\] Linux version"
    rb"|panic: |Fatal (?:double )?trap \d+: |KDB: (?:enter|stack backtrace): ?"
    rb"|System going down IMMEDIATELY|All buffers synced|Syncing disks, |Rebooting\.\.\."
    rb"|Uptime: (?:\d+d)?(?:\d+h)?(?:\d+m)?\d+s$|The operating system has halted"
    rb"|acpi0: Powering system off"
    rb"|(?:\[[ \d.]+\] )?reboot: (?:Restarting|Power down|System halted))",
    re.MULTILINE,
)
_ASKS = re.compile(rb"Console type \[[^]]*\]: $|(?:^|\n)(db|mountroot)> $")
_FORGOTTEN = re.compile(rb"(?:^|\n|: )z[cpxqwgdztky]: ([Cc]ommand )?not found")
DOWN = (
    *BEFORE_KERNEL,
    State.HALTED,
    State.PANIC,
    State.MOUNTROOT,
    State.DEBUGGER,
    State.SINGLE_USER,
)
"""Where no system runs, or only the very first of it."""
_REFUSED = re.compile(rb"^Login incorrect", re.MULTILINE)
_OURS = re.compile(rb"\{ z[a-z] |^(?:#'|#\"|\}|\s*)$")
_SHOWN = 4096
_ECHO = 24
_WIDE = 78


def at_once(seen: bytes) -> bool:
    """Whether `seen` (since the last answer) shows it so plainly that nothing may be typed."""
    return bool(_STRANGE.search(seen) or _ANEW.search(seen.replace(b"\r", b"")))


def forgotten(text: bytes) -> bool:
    """Whether a shell has said that it does not know our helpers."""
    return _FORGOTTEN.search(text) is not None


def asks(text: bytes) -> bool:
    """Whether `text` ends with a prompt of the installer or of a stopped kernel."""
    return _ASKS.search(text) is not None


def after_all(seen: bytes, typed: bytes) -> bool:
    """Whether `seen`, of a console that has not answered for a while, shows somebody else.

    That is the screen of a machine that is not up, a login that took a line of ours for a name, or
    the echo of `typed`, the last line (empty where it is not to be looked for).
    """
    shown = seen[-_SHOWN:].replace(b"\r", b"")
    echoed = typed.strip()[-_ECHO:]
    if echoed and echoed in shown.replace(b"\n", b""):
        return True
    return _REFUSED.search(shown) is not None or _drawn(seen) in DOWN


def _drawn(seen: bytes) -> State:
    screen = Screen()
    screen.feed(seen[-_SHOWN:])
    return screen.state()


def lost(seen: bytes, *, tell: bool = True) -> MachineLost:
    """Return what to raise of a console that has shown `seen` since the last answer.

    `Restarted` where the machine has said so itself; else nobody knows whether it has. Without
    `tell` its last line is left out: an echo there could hold a secret that was on its way.
    """
    text = seen.replace(b"\r", b"")
    said = _ANEW.search(text)
    if said is not None:
        line = text[text.rfind(b"\n", 0, said.start()) + 1 :].partition(b"\n")[0]
        shown = _plain(line)
    else:
        rows = [row for row in text.split(b"\n") if not _OURS.search(row)]
        shown = _plain(rows[-1]) if rows and tell else "not told here"
    if said is not None or _drawn(seen) in DOWN:
        return Restarted(f"The machine has restarted, or is going down: it says {shown}.", NOW)
    return MachineLost(
        f"The machine has restarted, or something else has the console: its last line is {shown}.",
        NOW,
    )


def _plain(line: bytes) -> str:
    text = re.sub(rb"\x1b(?:\[[0-9;?]*[@-~]|.)", b"", line).decode("utf-8", "replace")
    return repr("".join(char for char in text if char.isprintable()).strip()[-_WIDE:])
