"""Programs that look at and change the files of an installed host: ls, head, find, cp, rm …"""

from __future__ import annotations

import re
import stat as bits
from typing import Any

from zrwizard.rehearsal import pipes
from zrwizard.rehearsal.clock import ls_date, short_date
from zrwizard.rehearsal.cmd_files import cksum_line
from zrwizard.rehearsal.cmd_files import ls as plain_ls
from zrwizard.rehearsal.cmd_stat import GROUPS, USERS
from zrwizard.rehearsal.commands import TTY_TOKEN, Call, file_program, flags
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.filespace import FileSpace, Lack, Outside, Place
from zrwizard.rehearsal.rawname import narrow, wide
from zrwizard.rehearsal.sizes import parse_bytes


def space_of(call: Call) -> FileSpace:
    """The machine's files."""
    space = call.machine.space
    assert space is not None  # noqa: S101 - the programs are known to such machines only
    return space


@file_program("__raw")
async def raw(call: Call) -> int:
    """The virtual shell's own: printf %b whose bytes survive a command substitution."""

    def one(match: re.Match[bytes]) -> bytes:
        digits = match[1] or match[2]
        if digits is not None:
            return bytes([int(digits, 8) & 0xFF])
        return {b"n": b"\n", b"t": b"\t"}.get(match[3], match[3])

    text = narrow(call.args[0] if call.args else "")
    # In one pass: a backslash that octal digits made is no escape again.
    plain = re.sub(rb"\\(?:0([0-7]{1,3})|([1-7][0-7]{0,2})|([nt\\]))", one, text)
    await call.io.stdout.write(wide(plain).encode())
    return 0


@file_program("head")
async def head(call: Call) -> int:
    """head(1): -n lines, -c bytes; names and standard input."""
    args = list(call.args)
    if args and re.fullmatch(r"-\d+", args[0]):
        args[:1] = ["-n", args[0][1:]]
    found, names = flags(args, "nc")
    if set(found) - set("nchqv") or ("n" in found and "c" in found):
        raise Fail("usage: head [-n lines | -c bytes] [file ...]\n")
    unit = "c" if "c" in found else "n"
    most = parse_bytes(found.get(unit, "10"))
    if not most:
        kind = "byte" if unit == "c" else "line"
        raise Fail(f"head: illegal {kind} count -- {found.get(unit)}\n")
    status = 0
    for number, name in enumerate(names or ["-"]):
        if len(names) > 1:
            await call.out(f"{chr(10) if number else ''}==> {name} <==\n")
        try:
            await _first(call, name, most, lines=unit == "n")
        except Fail as refusal:
            await call.err(refusal.err)
            status = 1
    return status


async def _first(call: Call, name: str, most: int, *, lines: bool) -> None:
    def cut(data: bytes) -> bytes:
        return b"".join(data.splitlines(keepends=True)[:most]) if lines else data[:most]

    if name != "-":
        await call.out(cut(call.read(name)))
        return
    data = b""
    while (piece := await call.chunk()) is not None:
        if piece.startswith(TTY_TOKEN):
            piece = await call.typed()
        data += piece
        if (data.count(b"\n") if lines else len(data)) >= most:
            break
    await call.out(cut(data))


@file_program("tee")
async def tee(call: Call) -> int:
    """tee(1), -a; what goes into a fifo waits there for its reader."""
    found, names = flags(call.args)
    whole = bytearray()
    while (piece := await call.chunk()) is not None:
        if piece.startswith(TTY_TOKEN):
            piece = await call.typed()
        whole += piece
        await call.out(piece)
    for name in names:
        path = call.path(name)
        if path in call.machine.fifos:
            call.machine.promises[path] = bytes(whole)
        else:
            call.write(name, bytes(whole), append="a" in found)
    return 0


@file_program("__settle")
async def settle(call: Call) -> int:
    """The virtual shell's own: readers of fifos in the background have come to their end."""
    pipes.settle(call.machine, cksum_line)
    return 0


# Lists


def _mode(place: Place) -> str:
    return bits.filemode(place.node.st_mode)


def _date(when: int, now: float) -> str:
    """As `ls -l`: the time of the day, or the year after half a year."""
    if 0 <= now - when < 182 * 86400:
        return ls_date(when)
    return f"{ls_date(when)[:6]}  {short_date(when)[-4:]}"


def _row(place: Place, shown: bytes, widths: tuple[int, int, int, int], now: float) -> bytes:
    node = place.node
    user, group = USERS.get(node.uid, str(node.uid)), GROUPS.get(node.gid, str(node.gid))
    arrow = b" -> " + node.read() if node.kind == "@" else b""
    text = (
        f"{_mode(place)}  {node.links:>{widths[0]}d} {user:<{widths[1]}s}  {group:<{widths[2]}s}  "
        f"{place.size:>{widths[3]}d} {_date(node.mtime // 10**9, now)} "
    )
    return text.encode() + shown + arrow + b"\n"


def _table(rows: list[tuple[bytes, Place]], now: float) -> bytes:
    nodes = [p.node for _, p in rows]
    if not nodes:
        return b""
    widths = (
        max(len(str(n.links)) for n in nodes),
        max(len(USERS.get(n.uid, str(n.uid))) for n in nodes),
        max(len(GROUPS.get(n.gid, str(n.gid))) for n in nodes),
        max(len(str(p.size)) for _, p in rows),
    )
    return b"".join(_row(p, name, widths, now) for name, p in rows)


def _listing(rows: list[tuple[bytes, Place]], found: dict[str, str], now: float) -> bytes:
    if "l" in found:
        return _table(rows, now)
    numbered = "i" in found
    return b"".join(
        (b"%d " % p.node.number if numbered else b"") + name + b"\n" for name, p in rows
    )


@file_program("ls", "/bin")
async def ls(call: Call) -> int:
    """ls(1): -a -A -d -i -l -1; names as the bytes that they are."""
    found, names = flags(call.args)
    space, files, dirs, status = space_of(call), [], [], 0
    outside = []
    for name in sorted(names or ["."]):
        try:
            place = space.find(call.where(name), follow="l" not in found and "d" not in found)
        except Lack as lack:
            await call.err(f"ls: {name}: {lack}\n")
            status = 1
            continue
        if isinstance(place, Outside):
            outside.append(name)
        elif place.node.kind == "/" and "d" not in found:
            dirs.append((name, place))
        else:
            files.append((narrow(name), place))
    await call.out(_listing(files, found, space.now() / 1e9))
    for number, (name, place) in enumerate(dirs):
        if len(dirs) > 1 or files:
            await call.out(f"{chr(10) if files or number else ''}{name}:\n")
        await call.out(_directory(space, place, found))
    if outside:
        call.args = [a for a in call.args if a not in names] + outside
        await call.out(plain_ls(call))
    return status


def _directory(space: FileSpace, place: Place, found: dict[str, str]) -> bytes:
    space.stamp(place)
    rows = [
        (name, inner)
        for name, inner in space.children(place)
        if isinstance(inner, Place) and (not name.startswith(b".") or {"a", "A"} & set(found))
    ]
    dots = [(b".", place), (b"..", place)] if "a" in found else []
    total = sum(p.node.space[0] for _, p in rows) // 512
    return (f"total {total}\n".encode() if "l" in found else b"") + _listing(
        dots + rows, found, space.now() / 1e9
    )


@file_program("find")
async def find(call: Call) -> int:
    """find(1): -x, -xdev, -type, -name, -maxdepth, -print, -print0, -ls is not among them."""
    paths, rest = [], list(call.args)
    cross = True
    while rest and re.fullmatch(r"-[HLPEXdsx]+", rest[0]):
        cross &= "x" not in rest.pop(0)
    while rest and not rest[0].startswith(("-", "(", "!")):
        paths.append(rest.pop(0))
    if not paths:
        raise Fail(
            "usage: find [-H | -L | -P] [-EXdsx] [-f path] path ... [expression]\n"
            "       find [-H | -L | -P] [-EXdsx] -f path [path ...] [expression]\n"
        )
    wanted = _expression(rest)
    cross &= "-xdev" not in wanted
    status = 0
    for path in paths:
        try:
            start = space_of(call).find(call.where(path), follow=False)
        except Lack as lack:
            await call.err(f"find: {path}: {lack}\n")
            status = 1
            continue
        if isinstance(start, Outside):
            if not call.exists(path):
                raise Fail(f"find: {path}: No such file or directory\n")
            known = call.io.fs.stat(call.path(path))
            await call.out(b"".join(_outside(call, (path, known), wanted, 0)))
            continue
        await call.out(b"".join(_below(call, (narrow(path), start), wanted, 0, cross=cross)))
    return status


def _expression(words: list[str]) -> dict[str, str]:
    known = {"-type": 1, "-name": 1, "-maxdepth": 1, "-mindepth": 1, "-print": 0, "-print0": 0}
    known |= {"-prune": 0, "-perm": 1, "-xdev": 0}
    found: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word not in known:
            raise Fail(f"find: {word}: unknown primary or operator\n")
        if known[word] and not rest:
            raise Fail(f"find: {word}: requires additional arguments\n")
        found[word] = rest.pop(0) if known[word] else ""
    return found


_TYPES = {"f": "F", "d": "/", "l": "@", "p": "|", "s": "=", "c": "C", "b": "B"}


def _outside(
    call: Call, at: tuple[str, dict[str, Any]], wanted: dict[str, str], depth: int
) -> list[bytes]:
    """A path that no data set holds (/tmp and its like), and what is below it."""
    from fnmatch import fnmatchcase  # noqa: PLC0415 - nothing else here needs it

    path, known = at
    kind = {"directory": "d", "symlink": "l"}.get(known["file_type"], "f")
    fits = depth >= int(wanted.get("-mindepth", "0")) and wanted.get("-type", kind) == kind
    fits &= "-perm" not in wanted or int(known["mode"]) & 0o7777 == int(wanted["-perm"], 8)
    fits &= fnmatchcase(path.rpartition("/")[2], wanted.get("-name", "*"))
    rows = [path.encode() + (b"\0" if "-print0" in wanted else b"\n")] if fits else []
    if kind != "d" or "-prune" in wanted or depth >= int(wanted.get("-maxdepth", "999")):
        return rows
    entries = call.io.fs.read_dir(call.path(path))
    for entry in sorted(entries, key=lambda entry: str(entry["name"])):
        inner = (f"{path.rstrip('/')}/{entry['name']}", entry["metadata"])
        rows += _outside(call, inner, wanted, depth + 1)
    return rows


def _below(
    call: Call, at: tuple[bytes, Place], wanted: dict[str, str], depth: int, *, cross: bool
) -> list[bytes]:
    from fnmatch import fnmatchcase  # noqa: PLC0415 - nothing else here needs it

    name, place = at
    shown = depth >= int(wanted.get("-mindepth", "0"))
    shown &= "-type" not in wanted or _TYPES.get(wanted["-type"]) == place.node.kind
    shown &= "-perm" not in wanted or place.node.mode == int(wanted["-perm"], 8)
    last = wide(name.rstrip(b"/").rpartition(b"/")[2] or name)
    shown &= "-name" not in wanted or fnmatchcase(last, wanted["-name"])
    found = [name + (b"\0" if "-print0" in wanted else b"\n")] if shown else []
    if place.node.kind != "/" or "-prune" in wanted or depth >= int(wanted.get("-maxdepth", "999")):
        return found
    space = space_of(call)
    space.stamp(place)
    for inner, child in space.children(place):
        if isinstance(child, Place) and (cross or child.device == place.device):
            path = name.rstrip(b"/") + b"/" + inner
            found += _below(call, (path, child), wanted, depth + 1, cross=cross)
    return found
