"""Programs that look at and change the files of an installed host: ls, head, find, cp, rm …"""

from __future__ import annotations

import contextlib
import re
import stat as bits

from zrwizard.rehearsal import pipes
from zrwizard.rehearsal.clock import ls_date, short_date
from zrwizard.rehearsal.cmd_files import cksum_line
from zrwizard.rehearsal.cmd_files import ls as plain_ls
from zrwizard.rehearsal.cmd_stat import GROUPS, USERS
from zrwizard.rehearsal.commands import TTY_TOKEN, Call, file_program, flags
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.filespace import FileSpace, Lack, Outside, Place, View
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
    """find(1): -x, -type, -name, -maxdepth, -print, -print0, -ls is not among them."""
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
    status = 0
    for path in paths:
        try:
            start = space_of(call).find(call.where(path), follow=False)
        except Lack as lack:
            await call.err(f"find: {path}: {lack}\n")
            status = 1
            continue
        if isinstance(start, Outside):
            raise Fail(f"find: {path}: Operation not supported\n")
        await call.out(b"".join(_below(call, (narrow(path), start), wanted, 0, cross=cross)))
    return status


def _expression(words: list[str]) -> dict[str, str]:
    known = {"-type": 1, "-name": 1, "-maxdepth": 1, "-mindepth": 1, "-print": 0, "-print0": 0}
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


def _below(
    call: Call, at: tuple[bytes, Place], wanted: dict[str, str], depth: int, *, cross: bool
) -> list[bytes]:
    from fnmatch import fnmatchcase  # noqa: PLC0415 - nothing else here needs it

    name, place = at
    shown = depth >= int(wanted.get("-mindepth", "0"))
    shown &= "-type" not in wanted or _TYPES.get(wanted["-type"]) == place.node.kind
    last = wide(name.rstrip(b"/").rpartition(b"/")[2] or name)
    shown &= "-name" not in wanted or fnmatchcase(last, wanted["-name"])
    found = [name + (b"\0" if "-print0" in wanted else b"\n")] if shown else []
    if place.node.kind != "/" or depth >= int(wanted.get("-maxdepth", "999")):
        return found
    space = space_of(call)
    space.stamp(place)
    for inner, child in space.children(place):
        if isinstance(child, Place) and (cross or child.device == place.device):
            path = name.rstrip(b"/") + b"/" + inner
            found += _below(call, (path, child), wanted, depth + 1, cross=cross)
    return found


# Changes


def _room(call: Call, verb: str, name: str) -> tuple[View, bytes]:
    """Where a path can be made or changed; `Fail` with the program's words."""
    try:
        room = space_of(call).room(call.where(name))
    except Lack as lack:
        raise Fail(f"{verb}: {name}: {lack}\n") from None
    if room is None:
        raise Fail(f"{verb}: {name}: Cross-device link\n")
    room[0].tree.now = space_of(call).now()
    return room


def _into(call: Call, source: str, target: str) -> str:
    """The path that a copy gets: below `target` where that is a directory."""
    return (
        f"{target.rstrip('/')}/{source.rstrip('/').rpartition('/')[2]}"
        if call.is_dir(target)
        else target
    )


@file_program("cp", "/bin")
async def cp(call: Call) -> int:
    """cp(1) of single files: -p keeps mode, owner, times and flags; -n never overwrites."""
    found, names = flags(call.args)
    if len(names) != 2 or set(found) - set("pnivfPHLa"):
        raise Fail(
            "usage: cp [-R [-H | -L | -P]] [-f | -i | -n] [-alNpsvx] source_file target_file\n"
        )
    source, target = names[0], _into(call, names[0], names[1])
    if call.is_dir(source):
        raise Fail(f"cp: {source} is a directory (not copied).\n")
    if "n" in found and call.exists(target):
        return 1
    data = call.read(source)
    call.write(target, data)
    space = space_of(call)
    was, made = space.find(call.where(source)), space.find(call.where(target))
    if isinstance(was, Place) and isinstance(made, Place):
        keep = bool({"p", "a"} & set(found))
        node = was.node
        fields = {"mode": node.mode if keep else node.mode & ~0o022}
        if keep:
            fields |= {"uid": node.uid, "gid": node.gid, "flags": node.flags}
            fields |= {"mtime": node.mtime, "atime": node.atime}
        made.tree.change(made.rel, **fields)
        space.show(made.view, made.rel)
    if "v" in found:
        await call.out(f"{source} -> {target}\n")
    return 0


@file_program("rm", "/bin")
async def rm(call: Call) -> int:
    """rm(1): -f, -r, -d."""
    found, names = flags(call.args)
    status = 0
    for name in names:
        space = space_of(call)
        try:
            place = space.find(call.where(name), follow=False)
        except Lack as lack:
            if "f" not in found:
                await call.err(f"rm: {name}: {lack}\n")
                status = 1
            continue
        if isinstance(place, Outside):
            _outside_rm(call, name, recursive=bool({"r", "R"} & set(found)))
            continue
        view, rel = _room(call, "rm", name)
        if place.node.kind == "/" and not {"r", "R", "d"} & set(found):
            await call.err(f"rm: {name}: is a directory\n")
            status = 1
            continue
        view.tree.remove(rel)
        space.show(view, rel)
    return status


def _outside_rm(call: Call, name: str, *, recursive: bool) -> None:
    call.machine.fifos.discard(call.path(name))
    try:
        call.io.fs.remove(call.path(name), recursive=recursive)
    except (RuntimeError, OSError):
        raise Fail(f"rm: {name}: No such file or directory\n") from None


@file_program("mv", "/bin")
async def mv(call: Call) -> int:
    """mv(1) within a data set, -n and -f; elsewhere files are copied and removed."""
    found, names = flags(call.args)
    if len(names) != 2:
        raise Fail("usage: mv [-f | -i | -n] [-hv] source target\n")
    source, target = names[0], _into(call, names[0], names[1])
    if not call.exists(source):
        raise Fail(f"mv: rename {source} to {target}: No such file or directory\n")
    if "n" in found and call.exists(target):
        return 0
    space = space_of(call)
    ends = [space.find(call.where(source), follow=False), None]
    with contextlib.suppress(Lack):
        ends[1] = space.find(call.where(target), follow=False)
    inside = isinstance(ends[0], Place) and not isinstance(ends[1], Outside)
    if inside and (old := _room(call, "mv", source))[0] == (new := _room(call, "mv", target))[0]:
        old[0].tree.move(old[1], new[1])
        space.show(*old)
        space.show(*new)
        return 0
    call.write(target, call.read(source))
    call.args = [source]
    return await rm(call)


async def _change(call: Call, names: list[str], **fields: int) -> int:
    for name in names:
        space = space_of(call)
        try:
            place = space.find(call.where(name))
        except Lack as lack:
            raise Fail(f"{call.name}: {name}: {lack}\n") from None
        if isinstance(place, Outside):
            if "mode" in fields:
                call.io.fs.chmod(call.path(name), fields["mode"])
            continue
        if not place.writable:
            raise Fail(f"{call.name}: {name}: Read-only file system\n")
        place.tree.now = space.now()
        place.tree.change(place.rel, **fields)
    return 0


@file_program("chmod", "/bin")
async def chmod(call: Call) -> int:
    """chmod(1) with an octal mode or u+x and the like."""
    _, names = flags([a for a in call.args if not re.match(r"-[rwx]", a)])
    if len(names) < 2:
        raise Fail("usage: chmod [-fhv] [-R [-H | -L | -P]] mode file ...\n")
    match = re.fullmatch(r"([ugoa]*)([+=-])([rwx]+)", names[0])
    if re.fullmatch(r"[0-7]{1,4}", names[0]):
        return await _change(call, names[1:], mode=int(names[0], 8))
    if match is None:
        raise Fail(f"chmod: invalid file mode: {names[0]}\n")
    place = space_of(call).find(call.where(names[1]))
    mode = place.node.mode if isinstance(place, Place) else 0o644
    who = 0
    for letter in match[1] or "a":
        who |= {"u": 0o700, "g": 0o070, "o": 0o007}.get(letter, 0o777)
    what = sum({"r": 0o444, "w": 0o222, "x": 0o111}[c] for c in set(match[3])) & who
    new = {"+": mode | what, "-": mode & ~what, "=": mode & ~who | what}[match[2]]
    return await _change(call, names[1:], mode=new)


@file_program("chown", "/usr/sbin")
async def chown(call: Call) -> int:
    """chown(8): names or numbers, owner:group."""
    _, names = flags(call.args)
    if len(names) < 2:
        raise Fail("usage: chown [-fhvx] [-R [-H | -L | -P]] owner[:group] file ...\n")
    user, _, group = names[0].partition(":")
    known = {v: k for k, v in USERS.items()} | {v: k for k, v in GROUPS.items() if v != "www"}
    fields: dict[str, int] = {}
    for key, word in (("uid", user), ("gid", group)):
        if word and not word.isdigit() and word not in known:
            raise Fail(f"chown: {word}: illegal user name\n")
        fields |= {key: int(word) if word.isdigit() else known[word]} if word else {}
    return await _change(call, names[1:], **fields)


@file_program("touch")
async def touch(call: Call) -> int:
    """touch(1): now; -c makes nothing."""
    found, names = flags(call.args, "dtrA")
    for name in names:
        if not call.exists(name):
            if "c" not in found:
                call.write(name, b"")
            continue
        now = space_of(call).now()
        await _change(call, [name], atime=now, mtime=now)
    return 0


@file_program("ln", "/bin")
async def ln(call: Call) -> int:
    """ln(1): hard links, -s symbolic ones."""
    found, names = flags(call.args)
    if len(names) != 2:
        raise Fail("usage: ln [-s [-F] | -L | -P] [-f | -i] [-hnv] source_file [target_file]\n")
    source, target = names[0], _into(call, names[0], names[1])
    if call.exists(target):
        raise Fail(f"ln: {target}: File exists\n")
    view, rel = _room(call, "ln", target)
    if "s" in found:
        view.tree.put(rel, narrow(source), "@")
    else:
        old = _room(call, "ln", source)
        if old[0] != view:
            raise Fail(f"ln: {target}: Cross-device link\n")
        view.tree.link(old[1], rel)
    space_of(call).show(view, rel)
    return 0
