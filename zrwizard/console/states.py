"""What a console shows, told from its screen (facts on FreeBSD, A3 to A12).

Only states that are recognised here are ever answered; anything else is `UNKNOWN`.
"""

from __future__ import annotations

import re
from enum import StrEnum

from zrwizard.console import fullscreen
from zrwizard.console.kernel import ends_with_message, without_messages
from zrwizard.console.menu import read_menu

SIZE_QUERY = b"\x1b[6n"
SIZE_REPLY = b"\x1b[24;80R"


class State(StrEnum):
    """What stands at the cursor, in words for people."""

    SILENT = "silent"
    BOOT_PROMPT = "boot blocks' prompt"
    LOADER_MENU = "loader menu"
    LOADER_COUNTDOWN = "loader counting down"
    LOADER_PROMPT = "loader prompt"
    STARTING = "starting up"
    GOING_DOWN = "going down"
    HALTED = "halted"
    PANIC = "kernel panic"
    MOUNTROOT = "mountroot prompt"
    DEBUGGER = "kernel debugger"
    MESSAGES = "kernel messages"
    BURIED = "prompt under kernel messages"
    SINGLE_USER = "single-user question"
    TERMINAL = "terminal type question"
    DIALOG = "installer dialog"
    INSTALLER = "installer, past its first question"
    RESIZING = "size query"
    LOGIN = "login prompt"
    PASSWORD = "password prompt"  # noqa: S105
    PASSPHRASE = "passphrase prompt"  # noqa: S105
    HOST_KEY = "ssh host key question"
    ROOT_SHELL = "root shell"
    USER_SHELL = "shell of an ordinary user"
    HALF_TYPED = "half-typed command"
    CONTINUATION = "unfinished command"
    SEARCH = "search in the history"
    PAGER = "pager"
    MONITOR = "monitor such as top"
    EDITOR = "editor"
    UNKNOWN = "unknown"


BEFORE_KERNEL = (
    State.BOOT_PROMPT,
    State.LOADER_MENU,
    State.LOADER_COUNTDOWN,
    State.LOADER_PROMPT,
)
"""Where boot blocks or the loader have the machine."""

# csh's and sh's, bash's in brackets, csh's `host# ` without a set prompt (A9).
_ROOT = r"(?:\S*@\S*:\S* |\[?root@\S+[^#]*|[a-z][\w.-]{0,40})?# "
_USER = (
    r"(?:\S*@\S*:\S* |\[?\S+@\S+[^#]*|[a-z][\w.-]{0,40})?[$%] "
    r"|\S+@\S+ \S*> "  # fish
)
_AT_CURSOR: tuple[tuple[State, str], ...] = (
    (State.TERMINAL, r"^Console type \[[^]]*\]: \S{0,20}$"),
    (State.SINGLE_USER, r"^Enter full pathname of shell or RETURN for .*: \S{0,60}$"),
    (State.HOST_KEY, r"\(yes/no/\[fingerprint\]\)\? $"),
    (State.LOGIN, r"^(?!Last )(?:[\w.-]+ )?login: \S{0,32}$"),
    (State.PASSPHRASE, r"(?i:passphrase)\b[^:]*: ?$"),
    (State.PASSWORD, r"([Pp]assword|[Pp]assword for [^ ]+|'s password): ?$"),
    (State.MOUNTROOT, r"^mountroot> "),
    (State.DEBUGGER, r"^db(\{\d+\})?> "),
    (State.SEARCH, r"^\((failed )?(reverse|forward)-i-search\)`|^(bck|fwd)\??: ?\S*$"),
    (State.ROOT_SHELL, rf"^{_ROOT}$"),
    (State.ROOT_SHELL, r"^\[?root@\S+.*# $"),
    (State.USER_SHELL, rf"^(?:{_USER})$"),
    (State.HALF_TYPED, rf"^{_ROOT}\s*\S"),
    (State.CONTINUATION, r"^(> |(?:[a-z]+ ?)*quote> |(?:foreach|while|if)?\? )$"),
)
_RULES = tuple((state, re.compile(pattern)) for state, pattern in _AT_CURSOR)
_ASKING = (State.TERMINAL, State.SINGLE_USER, State.LOGIN, State.PASSWORD, State.PASSPHRASE)
_SHELLS = (State.ROOT_SHELL, State.USER_SHELL, State.HALF_TYPED, State.CONTINUATION)

_BOOT_BLOCKS = re.compile(r"^FreeBSD/\S+ boot$|^Default: ")
_OF_LOADER = re.compile(
    r"Type '\?' for a list of commands|Exiting menu!|(bootstrap|EFI) loader, Revision"
    r"|^can't load 'kernel'|^Loading /boot/"
    r"|^OK (set|unset|show|boot|autoboot|load|unload|ls|lsdev|lsmod|help|\?|echo|more|include)\b"
)
_LOADER_ENDS = re.compile(r"---<<BOOT>>---|^(\S*@\S*:.*)?[#$%] |login: |^Copyright \(c\) ")
_COUNTING = re.compile(r"^Booting \[[^]]*\] in \d+ seconds?\.\.\. ")
_HIT_ENTER = re.compile(r"^Hit \[Enter\] to boot immediately")

_HALTED = re.compile(r"operating system has halted|Please press any key to reboot")
_DOWN = re.compile(
    r"^Uptime: (\d+d)?(\d+h)?(\d+m)?\d+s$|^Rebooting\.\.\.|^All buffers synced|^Syncing disks"
    r"|^Waiting \(max \d+ seconds\)|^System (going down|shutdown time)|^Shutdown NOW"
    r"|^Waiting for PIDS|Powering system off|reboot: Power down|^Stopping "
)
_PANIC = re.compile(
    r"^panic: |^Fatal (double )?trap \d+:|^KDB: (enter|stack backtrace)"
    r"|press a key on the console to (abort|reboot)|^Dumping \d+ out of "
)
_START = re.compile(
    r"---<<BOOT>>---|^Loading |^/boot/\S+ (text|size|data)=|^(.\b)?can't find '/|^Booting"
    r"|(bootstrap|EFI) loader, Revision|^Copyright \(c\) 19|^BIOS |^Consoles: |^SeaBIOS"
    r"|^Trying to mount root from|^Root mount waiting for|^mountroot: waiting"
    r"|^(Starting|Mounting|Setting|Configuring|Creating|Updating|Feeding entropy|Clearing /tmp"
    r"|Generating|Enabling|Autoloading|Waiting for)\b"
    r"|^Dual Console: |^add (host|net) |^ELF ldconfig|^32-bit compat|^/etc/rc"
)


def classify(
    lines: list[str],
    at_cursor: str,
    row: int,
    *,
    heard: bool,
    width: int = 80,
    standout: bool = False,
) -> State:
    """Return what the screen of `lines`, with `at_cursor` up to the cursor in `row`, shows.

    `heard` says whether anything was received at all, `width` is the screen's, `standout` whether
    all that stands before the cursor is in reverse video. Call it after some quiet only.
    """
    if not heard or not any(line.strip() for line in lines):
        return State.SILENT
    whole, above = _unwrapped(lines, at_cursor, row, width)
    found = _before_kernel(above, whole) or _at_line(whole)
    if found is State.ROOT_SHELL and lines[row][len(at_cursor) :].strip():
        # The cursor was moved back into a line that Enter would run.
        return State.HALF_TYPED
    found = found or _full_screen(lines, at_cursor, row, standout=standout)
    # A carriage return alone leaves the cursor before the text of its row.
    said = [*above, whole if at_cursor else lines[row]]
    return found or _under_messages(above, whole) or _passing(said)


def _unwrapped(lines: list[str], at_cursor: str, row: int, width: int) -> tuple[str, list[str]]:
    """Return the cursor's line up to the cursor, and the lines above it, each made whole again."""
    joined: list[str] = []
    open_ended = False
    for line in [*lines[:row], at_cursor]:
        if open_ended:
            joined[-1] += line
        else:
            joined.append(line)
        open_ended = len(line) >= width
    return joined[-1], joined[:-1]


def _at_line(line: str) -> State | None:
    """Return the state that an unterminated line alone shows."""
    for state, pattern in _RULES:
        if pattern.search(line):
            return state
    return None


def _before_kernel(above: list[str], line: str) -> State | None:
    """Return the state of boot blocks or loader; their short prompts count in their context."""
    if line == "boot: " and any(_BOOT_BLOCKS.search(other) for other in above[-4:]):
        return State.BOOT_PROMPT
    if line == "OK " and _after_loader_text(above):
        return State.LOADER_PROMPT
    if _COUNTING.search(line) or _HIT_ENTER.search(_last(above, line)):
        return State.LOADER_COUNTDOWN
    return None


def _after_loader_text(above: list[str]) -> bool:
    """Whether the nearest line that tells is one of the loader's, not of what comes after it."""
    for line in reversed(above):
        if _OF_LOADER.search(line):
            return True
        if _LOADER_ENDS.search(line):
            return False
    return False


def _full_screen(lines: list[str], at_cursor: str, row: int, *, standout: bool) -> State | None:
    if read_menu(lines, row):
        return State.LOADER_MENU
    if fullscreen.is_debugger_pager(lines, row):
        return State.DEBUGGER
    if fullscreen.in_installer_question(lines, at_cursor, row):
        return State.DIALOG
    if fullscreen.in_installer(lines, at_cursor, row):
        return State.INSTALLER
    if fullscreen.in_monitor(lines, row):
        return State.MONITOR
    if fullscreen.in_pager(lines, at_cursor, row, standout=standout):
        return State.PAGER
    if fullscreen.in_editor(lines, row):
        return State.EDITOR
    return None


def _under_messages(above: list[str], line: str) -> State | None:
    """Return what stood at the cursor before kernel messages landed there.

    A shell's line may hold more than can be told from the message (`# rm` and `em0: …`), so that
    it is `BURIED` and has to be drawn anew before anything is typed.
    """
    for candidate in without_messages(above, line):
        found = _at_line(candidate)
        if found in _SHELLS:
            return State.BURIED
        if found in _ASKING or found in (State.MOUNTROOT, State.DEBUGGER):
            return found
    return None


def _passing(shown: list[str]) -> State:
    """Return the state that text which scrolls by shows: a machine that starts, stops, or talks."""
    said = [text for text in shown if text.strip()]
    if not said:
        return State.UNKNOWN
    if any(_HALTED.search(text) for text in said[-3:]):
        return State.HALTED
    if _DOWN.search(said[-1]):
        return State.GOING_DOWN
    if _panicked(said):
        return State.PANIC
    if any(_START.search(text) for text in said[-4:]):
        return State.STARTING
    # What is left of a prompt may stand below the message that hit it.
    if ends_with_message(said[-1]) or (
        len(said) > 1 and said[-1].strip() in ("#", "$", "%") and ends_with_message(said[-2])
    ):
        return State.MESSAGES
    return State.UNKNOWN


def _panicked(said: list[str]) -> bool:
    """Whether the kernel's last words are a panic: nothing of a new start came after it."""
    for text in reversed(said):
        if _PANIC.search(text):
            return True
        if _START.search(text) or text.startswith("Rebooting..."):
            return False
    return False


def _last(above: list[str], line: str) -> str:
    """Return the last line that says something, the cursor's own included."""
    for text in (line, *reversed(above)):
        if text.strip():
            return text
    return ""
