"""What a console shows, told from its screen (facts on FreeBSD, A5 to A12).

Only states that are recognised here are ever answered; anything else is `UNKNOWN`.
"""

from __future__ import annotations

import re
from enum import StrEnum


class State(StrEnum):
    """What stands at the cursor."""

    SILENT = "silent"
    ROOT_SHELL = "root shell"
    USER_SHELL = "shell of an ordinary user"
    LOGIN = "login prompt"
    PASSWORD = "password prompt"  # noqa: S105
    SINGLE_USER = "single-user question"
    TERMINAL = "terminal type question"
    DIALOG = "installer dialog"
    RESIZING = "size query"
    LOADER = "loader"
    KERNEL_PROMPT = "kernel prompt"
    HOST_KEY = "ssh host key question"
    CONTINUATION = "unfinished command"
    UNKNOWN = "unknown"


_AT_CURSOR: tuple[tuple[State, str], ...] = (
    (State.TERMINAL, r"^Console type \[[^]]*\]: $"),
    (State.SINGLE_USER, r"^Enter full pathname of shell or RETURN for .*: $"),
    (State.HOST_KEY, r"\(yes/no/\[fingerprint\]\)\? $"),
    (State.LOGIN, r"(^|\s)login: $"),
    (State.PASSWORD, r"([Pp]assword|[Pp]assword for [^ ]+|'s password): ?$"),
    (State.KERNEL_PROMPT, r"^(mountroot|db)> $"),
    (State.LOADER, r"^(OK|boot:) $|^Autoboot in \d+ seconds"),
    (State.ROOT_SHELL, r"^([^ ]*@[^ ]*:[^ ]* )?# $|^# $"),
    (State.USER_SHELL, r"^([^ ]*@[^ ]*:[^ ]* )?[$%] $|^\[?[^ ]+@[^ ]+[^#]*[$%] $"),
    (State.CONTINUATION, r"^> $"),
)
_RULES = tuple((state, re.compile(pattern)) for state, pattern in _AT_CURSOR)
_ROOT_ELSEWHERE = re.compile(r"^\[?root@[^ ]+.*# $")
_LOADER_MENU = re.compile(r"Autoboot in \d+ seconds|^.{0,6}5\. Cons:", re.MULTILINE)
SIZE_QUERY = b"\x1b[6n"
SIZE_REPLY = b"\x1b[24;80R"


def classify(lines: list[str], at_cursor: str, row: int, *, heard: bool) -> State:
    """Return what the screen of `lines`, with `at_cursor` up to the cursor in `row`, shows.

    `heard` says whether anything was received at all; call it after some quiet only.
    """
    if not heard:
        return State.SILENT
    for state, pattern in _RULES:
        if pattern.search(at_cursor):
            return state
    if _ROOT_ELSEWHERE.search(at_cursor):
        return State.ROOT_SHELL
    if _in_dialog(lines, at_cursor, row):
        return State.DIALOG
    text = "\n".join(lines)
    if _LOADER_MENU.search(text):
        return State.LOADER
    return State.UNKNOWN if text.strip() else State.SILENT


def _in_dialog(lines: list[str], at_cursor: str, row: int) -> bool:
    """Whether the cursor stands inside the installer's box: an old one may linger above it."""
    if len(at_cursor) < 8:
        return False
    near = lines[max(0, row - 6) : row + 7]
    words = re.sub(r"[^A-Za-z]+", " ", " ".join(near))
    return "begin an installation or use the live" in words
