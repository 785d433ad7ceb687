"""stat(1) and readlink(1) of FreeBSD over the files of an installed host."""

from __future__ import annotations

import re
import stat as bits
from dataclasses import dataclass

from zrwizard.rehearsal.clock import MONTHS
from zrwizard.rehearsal.commands import Call, file_program, flags, reason
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.filespace import FileSpace, Lack, Outside, Place
from zrwizard.rehearsal.rawname import narrow
from zrwizard.rehearsal.zfsfiles import Node

DEFAULT = '%d %i %Sp %l %Su %Sg %r %z "%Sa" "%Sm" "%Sc" "%SB" %k %b %#Xf %N'
RAW = "%d %i %#p %l %u %g %r %z %a %m %c %B %k %b %f %N"
LONG = "%Sp %l %Su %Sg %Z %Sm %N%SY"
LONG_F = "%Sp %l %Su %Sg %Z %Sm %N%T%SY"
SHELL = (
    "st_dev=%d st_ino=%i st_mode=%#p st_nlink=%l st_uid=%u st_gid=%g st_rdev=%r st_size=%z "
    "st_atime=%a st_mtime=%m st_ctime=%c st_birthtime=%B st_blksize=%k st_blocks=%b st_flags=%f"
)
LINUX = (
    '  File: "%N"%n  Size: %-11z  FileType: %HT%n'
    "  Mode: (%OMp%03OLp/%.10Sp)         Uid: (%5u/%8Su)  Gid: (%5g/%8Sg)%n"
    "Device: %Hd,%Ld   Inode: %i    Links: %l%nAccess: %Sa%nModify: %Sm%nChange: %Sc"
)
USERS = {0: "root", 80: "www", 1001: "han", 1002: "lucas", 1003: "eve"}
GROUPS = {0: "wheel", 5: "operator", 6: "mail", 80: "www", 1001: "han", 1002: "lucas", 1003: "eve"}
FLAGS = {0x1: "nodump", 0x20000: "schg", 0x40000: "sappnd", 0x2: "uchg", 0x800: "uarch"}
USAGE = "usage: stat [-FLnq] [-f format | -l | -r | -s | -x] [-t timefmt] [file ...]\n"
_FIELD = re.compile(
    rb"%(?P<flags>[-# +0]*)(?P<size>\d*)(?:\.(?P<prec>\d*))?(?P<out>[DOUXFS]?)(?P<part>[HML]?)"
    rb"(?P<what>[RdiplugramcBzbkfvYTNZ])"
)
_SIMPLE = {b"n": b"\n", b"t": b"\t", b"%": b"%"}


@dataclass(slots=True)
class Looked:
    """What lstat(2) or stat(2) found, and the name that was given."""

    name: bytes
    node: Node
    size: int
    device: int
    target: bytes | None
    real: bytes | None


def look(call: Call, name: str, *, follow: bool) -> Looked:
    """The facts of a path; `Lack` where there are none."""
    space = call.machine.space
    assert space is not None  # noqa: S101 - the program is known to such machines only
    path = call.where(name)
    try:
        place = space.find(path, follow=follow)
    except Lack:
        if not follow:
            raise
        place = space.find(path, follow=False)
    if isinstance(place, Outside):
        return _outside(call, name)
    target = place.node.read() if place.node.kind == "@" else None
    return Looked(
        narrow(name), place.node, place.size, place.device, target, _real(space, path, place)
    )


def _real(space: FileSpace, path: bytes, place: Place) -> bytes | None:
    if place.node.kind != "@":
        return place.path
    try:
        return space.find(path).path
    except Lack:
        return None


def _outside(call: Call, name: str) -> Looked:
    """A file of /tmp or /dev, as far as the virtual file system knows it."""
    path = call.path(name)
    try:
        found = call.io.fs.stat(path)
    except (RuntimeError, OSError) as exc:
        raise Lack(reason(exc)) from None
    kind = {"directory": "/", "symlink": "@"}.get(found["file_type"], "F")
    when = int(found["modified"] * 1e9)
    data = call.io.fs.read_file(path) if kind == "F" else b""
    node = Node(
        abs(hash(path)) % 10**6,
        kind,
        int(found["mode"]) & 0o7777,
        0,
        0,
        bytes(data),
        2 if kind == "/" else 1,
        when,
        when,
        when,
        when,
        0,
        0,
    )
    return Looked(narrow(name), node, node.size, 0x7B00FF02, None, narrow(path))


def _time(ns: int, form: str) -> str:
    from datetime import UTC, datetime  # noqa: PLC0415 - nothing else here needs it

    when = datetime.fromtimestamp(ns // 10**9, UTC)
    if not form:
        return f"{MONTHS[when.month - 1]} {when.day:2d} {when:%H:%M:%S} {when.year}"
    known = form.replace("%e", f"{when.day:2d}").replace("%s", str(ns // 10**9))
    return when.strftime(known.replace("%T", "%H:%M:%S").replace("%F", "%Y-%m-%d"))


def _text(seen: Looked, what: str, form: str) -> bytes:
    """The S output of a field."""
    node = seen.node
    if what in "amcB":
        return _time(_moment(node, what), form).encode()
    texts: dict[str, str | bytes] = {
        "p": bits.filemode(node.st_mode),
        "u": USERS.get(node.uid, f"({node.uid})"),
        "g": GROUPS.get(node.gid, f"({node.gid})"),
        "f": ",".join(n for b, n in FLAGS.items() if node.flags & b) or "-",
        "d": "???",
        "r": "???",
        "N": seen.name,
    }
    value = texts[what]
    return value if isinstance(value, bytes) else value.encode()


def _moment(node: Node, what: str) -> int:
    return {"a": node.atime, "m": node.mtime, "c": node.ctime, "B": node.birth}[what]


def _number(seen: Looked, what: str, part: str) -> int:
    node = seen.node
    if what in "amcB":
        return _moment(node, what) // 10**9
    if what == "p":
        mode = node.st_mode
        return {"H": mode >> 12, "M": mode >> 9 & 7, "L": mode & 0o777}.get(part, mode)
    if what in "dr" and part:
        value = seen.device if what == "d" else node.rdev
        return value >> 8 if part == "H" else value & 0xFF
    return {
        "d": seen.device,
        "i": node.number,
        "l": node.links,
        "u": node.uid,
        "g": node.gid,
        "r": node.rdev or 0xFFFFFFFFFFFFFFFF,
        "z": seen.size,
        "b": node.space[0] // 512 + 1,
        "k": max(4096, min(131072, -(-seen.size // 512) * 512)),
        "v": 0,
        "f": node.flags,
    }[what]


def _type(seen: Looked, part: str) -> bytes:
    kind = seen.node.kind
    if part == "H":
        return {
            "|": b"Fifo File",
            "C": b"Character Device",
            "/": b"Directory",
            "B": b"Block Device",
            "F": b"Regular File",
            "@": b"Symbolic Link",
            "=": b"Socket",
        }[kind]
    if kind == "F":
        return b"*" if seen.node.mode & 0o111 else b""
    return kind.encode() if kind in "|/@=" else b""


class Format:
    """One stat(1) format. `failed` tells that a %Y or %R met something without one."""

    def __init__(self, form: bytes, times: str) -> None:
        self.form, self.times = form, times
        self.failed = False

    def line(self, seen: Looked, count: int, *, newline: bool) -> bytes:
        """The format filled in, with a newline at its end if it has none."""
        out, at = b"", 0
        while at < len(self.form):
            if self.form[at : at + 1] != b"%":
                out += self.form[at : at + 1]
                at += 1
                continue
            nxt = self.form[at + 1 : at + 2]
            if nxt in _SIMPLE or nxt == b"@":
                out += str(count).encode() if nxt == b"@" else _SIMPLE[nxt]
                at += 2
                continue
            match = _FIELD.match(self.form, at)
            if match is None:
                self._bad(self.form[at : at + 2])
            else:
                out += self._field(seen, match)
                at = match.end()
        return out + (b"\n" if newline and not out.endswith(b"\n") else b"")

    def _bad(self, field: bytes) -> None:
        raise Fail(f"stat: {field.decode('utf-8', 'replace')}: bad format\n")

    def _field(self, seen: Looked, match: re.Match[bytes]) -> bytes:
        given = {k: (v or b"").decode() for k, v in match.groupdict().items()}
        what, out, part = given["what"], given["out"], given["part"]
        if what == "Z":
            what = "z"
        if part and what not in "pTdr":
            self._bad(match[0])
        if what in "YRTN":
            if out not in ("", "S"):
                self._bad(match[0])
            return _pad(self._word(seen, what, out, part), given)
        if out == "S":
            if what in "ilzbkv":
                self._bad(match[0])
            text = _text(seen, what, self.times)
            if what == "p" and part:
                first = {"H": 1, "M": 4, "L": 7}[part]
                text = text[first : first + 3]
            return _pad(text, given)
        if out == "F":
            if what not in "amcB":
                self._bad(match[0])
            return _pad(_fraction(_moment(seen.node, what), given["prec"]), given | {"prec": ""})
        return _pad(_digits(_number(seen, what, part), what, out, given), given)

    def _word(self, seen: Looked, what: str, out: str, part: str) -> bytes:
        arrow = b" -> " if out == "S" else b""
        if what == "N":
            return seen.name
        if what == "T":
            return _type(seen, part)
        value = seen.target if what == "Y" else seen.real
        if value is None:
            self.failed = True
            return b""
        return arrow + value


def _fraction(ns: int, prec: str) -> bytes:
    seconds, rest = divmod(ns, 10**9)
    places = 9 if prec == "" else int(prec)
    if places == 0:
        return str(seconds).encode()
    return f"{seconds}.{str(rest).zfill(9)[:places].ljust(places, '0')}".encode()


def _digits(value: int, what: str, out: str, given: dict[str, str]) -> bytes:
    form = out or ("O" if what == "p" else "D" if what in "amcB" else "U")
    mark = "#" in given["flags"] and value
    text = {"O": f"{value:o}", "X": f"{value:x}"}.get(form, str(value))
    head = {"O": "0", "X": "0x"}.get(form, "") if mark else ""
    if "+" in given["flags"] and form == "D":
        head = "+"
    return f"{head}{text}".encode()


def _pad(text: bytes, given: dict[str, str]) -> bytes:
    if given["prec"]:
        text = text[: int(given["prec"])] if not text.isdigit() else text.zfill(int(given["prec"]))
    width = int(given["size"] or 0)
    if "-" in given["flags"]:
        return text.ljust(width)
    zero = "0" in given["flags"] and text.isdigit()
    return text.rjust(width, b"0" if zero else b" ")


@file_program("stat")
async def stat(call: Call) -> int:
    """stat(1); a missing path is told and the others follow, status 1."""
    found, names = flags(call.args, "ft")
    if set(found) - set("FLlnqrsfxt"):
        raise Fail(f"stat: illegal option -- {min(set(found) - set('FLlnqrsfxt'))}\n{USAGE}")
    kinds = [k for k in found if k in "flrsx"]
    if len(kinds) > 1:
        raise Fail(f"stat: can't use format '{kinds[0]}' with '{kinds[1]}'\n")
    if "F" in found and kinds and kinds[0] != "l":
        raise Fail(f"stat: can't use format '{kinds[0]}' with -F\n")
    form = {"l": LONG_F if "F" in found else LONG, "r": RAW, "s": SHELL, "x": LINUX}.get(
        kinds[0] if kinds else "", LONG_F if "F" in found else DEFAULT
    )
    if "x" in found:
        found.setdefault("t", "%a %b %e %T %Y")
    return await _each(call, narrow(found.get("f", form)), names, found)


async def _each(call: Call, form: bytes, names: list[str], found: dict[str, str]) -> int:
    how, status = Format(form, found.get("t", "")), 0
    for count, name in enumerate(names, 1):
        try:
            seen = look(call, name, follow="L" in found)
        except Lack as lack:
            status = 1
            if "q" not in found:
                await call.err(f"stat: {name}: stat: {lack}\n")
            continue
        await call.out(how.line(seen, count, newline="n" not in found))
    return status


@file_program("readlink")
async def readlink(call: Call) -> int:
    """readlink(1): the target, -f the canonical path, -n without a newline."""
    found, names = flags(call.args)
    if set(found) - set("fn"):
        raise Fail("usage: readlink [-fn] [file ...]\n")
    how, failed = Format(b"%R" if "f" in found else b"%Y", ""), False
    for count, name in enumerate(names, 1):
        try:
            seen = look(call, name, follow=False)
        except Lack:
            failed = True
            continue
        how.failed = False
        line = how.line(seen, count, newline="n" not in found)
        failed |= how.failed
        await call.out(b"" if how.failed else line)
    return int(failed)


@file_program("realpath", "/bin")
async def realpath(call: Call) -> int:
    """realpath(1)."""
    found, names = flags(call.args)
    status = 0
    for name in names or ["."]:
        try:
            seen = look(call, name, follow=True)
            await call.out((seen.real or b"") + b"\n")
        except Lack as lack:
            status = 1
            if "q" not in found:
                await call.err(f"realpath: {name}: {lack}\n")
    return status
