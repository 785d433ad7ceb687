"""The list of commands that only look: each program with its own options and operands.

What a program could do besides (`zfs send` without -n, `mount` with operands, `dd of=`) has no
form here; a new use of a program is a line in this table. Options are letters in clusters; one
with an argument stands last, its argument is the next word. Nothing is abbreviated or glued.
Sources: zfs-list(8), zfs-diff(8), zfs-send(8), zpool-history(8), stat(1), dd(1), ls(1), mount(8).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

_PART = r"[A-Za-z0-9_.:%-](?:[A-Za-z0-9_.:% -]*[A-Za-z0-9_.:%-])?"
_POOL = r"[A-Za-z](?:[A-Za-z0-9_.: -]*[A-Za-z0-9_.:-])?"
_DATASET = re.compile(rf"{_POOL}(?:/{_PART})*", re.ASCII)
_TAG = re.compile(_PART, re.ASCII)
_COLUMNS = re.compile(r"[a-z][A-Za-z0-9_.:@/% -]*(?:,[a-z][A-Za-z0-9_.:@/% -]*)*", re.ASCII)
_FORMAT = re.compile(r"[A-Za-z0-9 .%@,:]+", re.ASCII)
_LONGEST_NAME = 255
_LONGEST_PATH = 4096

Rule = Callable[[str], bool]


# --- what an argument can be ----------------------------------------------------------------------


def is_dataset(word: str) -> bool:
    """Whether `word` can be the name of a file system, a volume or a pool."""
    return (
        len(word) <= _LONGEST_NAME
        and _DATASET.fullmatch(word) is not None
        and not {".", ".."} & set(word.split("/"))
    )


def is_snapshot(word: str) -> bool:
    """Whether `word` can be the full name of a snapshot."""
    dataset, at, tag = word.partition("@")
    return bool(at and len(word) <= _LONGEST_NAME and is_dataset(dataset) and _TAG.fullmatch(tag))


def is_named(word: str) -> bool:
    """Whether `word` can name a dataset or a snapshot."""
    return is_dataset(word) or is_snapshot(word)


def is_pool(word: str) -> bool:
    """Whether `word` can be the name of a pool."""
    return is_dataset(word) and "/" not in word


def is_path(word: str) -> bool:
    """Whether `word` is an absolute path that goes up nowhere and names no device."""
    parts = word.split("/")
    return (
        word.startswith("/")
        and _carried(word)
        and len(word) <= _LONGEST_PATH
        and ".." not in parts
        # Opening a device can move a tape; a file's content is all that is wanted.
        and [part for part in parts if part not in {"", "."}][:1] != ["dev"]
    )


def _carried(word: str) -> bool:
    """Whether `word` can be an argument: no NUL, and no surrogate that stands for no byte."""
    try:
        return b"\0" not in word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False


def is_number(word: str) -> bool:
    """Whether `word` is a plain whole number."""
    return word.isascii() and word.isdigit() and len(word) <= 18


def _columns(word: str) -> bool:
    return len(word) <= 1024 and _COLUMNS.fullmatch(word) is not None


def _some_of(*words: str) -> Rule:
    return lambda word: set(word.split(",")) <= set(words)


def _dd_operand(word: str) -> bool:
    name, _, value = word.partition("=")
    match name:
        case "if":
            return is_path(value)
        case "bs" | "count" | "skip":
            return is_number(value)
        case _:
            return False


# --- the programs ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Form:
    """One way in which a program may be called.

    `flags` are letters without an argument, `valued` those with one. `needs` must be among the
    flags given. Operands are checked by `operands` in turn, the last of which holds for all further
    ones; there must be `least` to `most`. `ends` says that `--` stands before the operands, or may.
    """

    flags: str = ""
    valued: Mapping[str, Rule] = field(default_factory=dict)
    needs: str = ""
    operands: tuple[Rule, ...] = ()
    least: int = 0
    most: int = 0
    ends: bool = False

    def complaint(self, words: Sequence[str]) -> str:
        """What is not allowed in the arguments `words`; "" where they have this form."""
        at, given = 0, set[str]()
        while at < len(words) and words[at].startswith("-") and words[at] != "-":
            word = words[at]
            at += 1
            if word == "--" and self.ends:
                break
            for number, letter in enumerate(word[1:], 2):
                if letter in self.valued and number == len(word) and at < len(words):
                    if not self.valued[letter](words[at]):
                        return f"{words[at]!r} is no argument for -{letter}"
                    at += 1
                elif letter not in self.flags:
                    return f"the option {word!r} is not allowed"
                given.add(letter)
        if missing := set(self.needs) - given:
            return f"-{min(missing)} is missing"
        return self._operands(words[at:])

    def _operands(self, rest: Sequence[str]) -> str:
        if not self.least <= len(rest) <= self.most:
            return f"{len(rest)} operands are not allowed"
        for number, word in enumerate(rest):
            if not self.operands[min(number, len(self.operands) - 1)](word):
                return f"{word!r} is not allowed as an operand"
        return ""


_MANY = 4096
_KINDS = _some_of("filesystem", "volume", "snapshot", "bookmark")
_LIST = Form("Hpr", {"d": is_number, "t": _KINDS, "o": _columns}, operands=(is_named,), most=_MANY)
_GET = Form(
    "Hpr",
    {"d": is_number, "t": _KINDS, "o": _some_of("name", "property", "value", "source", "received")},
    operands=(_columns, is_named),
    least=2,
    most=_MANY,
)
_SEND = Form(
    "nvPcwLe",
    {"i": is_snapshot, "I": is_snapshot},
    needs="n",
    operands=(is_snapshot,),
    least=1,
    most=1,
)
_ZFS = {
    "list": _LIST,
    "get": _GET,
    "diff": Form("FHt", operands=(is_snapshot, is_named), least=2, most=2),
    "send": _SEND,
    "version": Form(),
}
_ZPOOL = {
    "list": Form("Hp", {"o": _columns}, operands=(is_pool,), most=_MANY),
    "history": Form("il", operands=(is_pool,), most=_MANY),
}
_PROGRAMS = {
    "dd": Form(operands=(_dd_operand,), least=1, most=4),
    "ls": Form("lniRAqd", operands=(is_path,), least=1, most=1, ends=True),
    "mount": Form("p"),
    "readlink": Form("n", operands=(is_path,), least=1, most=1, ends=True),
    "sha256": Form("q", needs="q", operands=(is_path,), least=1, most=1, ends=True),
    "stat": Form(
        "",
        {"f": lambda word: _FORMAT.fullmatch(word) is not None},
        needs="f",
        operands=(is_path,),
        least=1,
        most=_MANY,
        ends=True,
    ),
    "uname": Form("mnrsK"),
}
_FAMILIES: Mapping[str, Mapping[str, Form]] = {"zfs": _ZFS, "zpool": _ZPOOL}
_UTC = ("env", "TZ=UTC0")


def complaint(argv: Sequence[str], *, temporary: bool) -> str:
    """Why `argv` is not a command that only looks, as a part of a sentence; "" where it is one.

    With `temporary`, `zfs diff` may compare with a file system as it is now.
    """
    words = list(argv)
    # The times of zpool history are local ones without it; env(1) has no other use here.
    if tuple(words[:2]) == _UTC and words[2:4] == ["zpool", "history"]:
        words = words[2:]
    if not words:
        return "there is no program"
    program, rest = words[0], words[1:]
    family = _FAMILIES.get(program)
    if family is None:
        form = _PROGRAMS.get(program)
        return f"{program!r} is not on the list" if form is None else _checked(form, program, rest)
    form = family.get(rest[0]) if rest else None
    if form is None:
        return f"{' '.join(words[:2])!r} is not on the list"
    said = form.complaint(rest[1:])
    if not said and rest[0] == "diff" and not temporary and "@" not in words[-1]:
        return "zfs diff makes a temporary snapshot of a live file system, and nobody agreed to it"
    return said


def _checked(form: Form, program: str, rest: Sequence[str]) -> str:
    said = form.complaint(rest)
    if not said and program == "dd":
        names = [word.partition("=")[0] for word in rest]
        if "if" not in names or len(set(names)) < len(names):
            return "dd needs one if=, and everything once"
    return said
