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
    BOOTING = "booting"
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


def classify(lines: list[str], at_cursor: str, *, heard: bool) -> State:
    """Return what the screen of `lines`, with `at_cursor` up to the cursor, shows.

    `heard` says whether anything was received at all; call it after some quiet only.
    """
    if not heard:
        return State.SILENT
    text = "\n".join(lines)
    if "begin an installation" in text.replace("\n", " ") or _spread(lines):
        return State.DIALOG
    for state, pattern in _RULES:
        if pattern.search(at_cursor):
            return state
    if _ROOT_ELSEWHERE.search(at_cursor):
        return State.ROOT_SHELL
    if _LOADER_MENU.search(text):
        return State.LOADER
    if not text.strip():
        return State.SILENT
    return State.UNKNOWN


def _spread(lines: list[str]) -> bool:
    """Whether a dialog's words stand on the screen, its box drawn between them."""
    words = re.sub(r"[^A-Za-z]+", " ", " ".join(lines))
    return "begin an installation or use the live" in words
