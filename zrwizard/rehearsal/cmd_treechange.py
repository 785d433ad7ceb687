"""Programs that change the files of an installed host: cp, rm, mv, mkdir, install, chmod …"""

from __future__ import annotations

import contextlib
import re

from zrwizard.rehearsal.cmd_files import mkdir as plain_mkdir
from zrwizard.rehearsal.cmd_stat import GROUPS, USERS
from zrwizard.rehearsal.cmd_treefiles import space_of
from zrwizard.rehearsal.commands import Call, file_program, flags, reason
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.filespace import Lack, Outside, Place
from zrwizard.rehearsal.rawname import narrow, wide
from zrwizard.rehearsal.shellcopy import View


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
    data, there = call.read(source), call.exists(target)
    call.write(target, data)
    space = space_of(call)
    was, made = space.find(call.where(source)), space.find(call.where(target))
    if isinstance(was, Place) and isinstance(made, Place):
        keep = bool({"p", "a"} & set(found))
        node = was.node
        fields = {"mode": node.mode & ~call.session.umask} if not there else {}
        if keep:
            fields |= {"mode": node.mode, "uid": node.uid, "gid": node.gid, "flags": node.flags}
            fields |= {"mtime": node.mtime, "atime": node.atime}
        made.tree.change(made.rel, **fields)
        space.show(made.view, made.rel)
    if "v" in found:
        await call.out(f"{source} -> {target}\n")
    return 0


@file_program("mkdir", "/bin")
async def mkdir(call: Call) -> int:
    """mkdir(1): -p and -m; what it makes on the way with -p has the usual permissions."""
    found, names = flags(call.args, "m")
    for name in names:
        if isinstance(_there(call, name), Outside):
            call.args = [name]
            for letter, value in found.items():
                call.args = [f"-{letter}", *([value] if value else []), *call.args]
            await call.out(plain_mkdir(call))
            continue
        mode = int(found["m"], 8) if re.fullmatch("[0-7]{3,4}", found.get("m", "")) else None
        if "m" in found and mode is None:
            raise Fail(f"mkdir: invalid file mode: {found['m']}\n")
        _make_directories(call, name, mode, whole="p" in found)
    return 0


def _there(call: Call, name: str) -> Place | Outside | None:
    """What a path names, or would name: the nearest directory that is there decides."""
    path = call.where(name)
    while True:
        try:
            return space_of(call).find(path)
        except Lack:
            path = path.rstrip(b"/").rpartition(b"/")[0] or b"/"


def _make_directories(call: Call, name: str, mode: int | None, *, whole: bool) -> None:
    space, path = space_of(call), call.where(name).rstrip(b"/")
    usual = 0o777 & ~call.session.umask
    parts = [p for p in path.split(b"/") if p]
    if call.exists(name):
        if whole and call.is_dir(name):
            return
        raise Fail(f"mkdir: {name}: File exists\n")
    for depth in range(1 if whole else len(parts), len(parts) + 1):
        at = b"/" + b"/".join(parts[:depth])
        try:
            space.find(at)
        except Lack:
            room = _room(call, "mkdir", wide(at))
            last = depth == len(parts)
            room[0].tree.put(room[1], kind="/", mode=mode if last and mode is not None else usual)
            space.show(*room)


@file_program("install")
async def install(call: Call) -> int:
    """install(1): files into a place with mode and owner, -d directories, -b backups, -S -C -c."""
    found, names = flags(call.args, "BDfghlMmNoT")
    mode = found.get("m", "755")
    if not re.fullmatch("[0-7]{3,4}", mode):
        raise Fail(f"install: invalid file mode: {mode}\n", 64)
    owner = f"{found.get('o', 'root')}:{found.get('g', 'wheel')}"
    if "d" in found:
        for name in names:
            if not call.is_dir(name):
                _make_directories(call, name, int(mode, 8), whole=True)
            await _owned(call, name, mode, owner)
        return 0
    if len(names) != 2:
        raise Fail("usage: install [-bCcpSsUv] [-f flags] [-g group] [-m mode] file1 file2\n", 64)
    source, target = names[0], _into(call, names[0], names[1])
    if not call.exists(source):
        raise Fail(f"install: {source}: No such file or directory\n", 71)
    data = call.read(source)
    if "b" in found and call.exists(target):
        call.write(f"{target}{found.get('B', '.old')}", call.read(target))
    try:
        call.write(target, data)
    except Fail as refusal:
        raise Fail(refusal.err, 71) from None
    await _owned(call, target, mode, owner)
    return 0


async def _owned(call: Call, name: str, mode: str, owner: str) -> None:
    call.args = [owner, name]
    await chown(call)
    call.args = [mode, name]
    await chmod(call)


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
            if call.exists(name) or "f" not in found:
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
        if "mode" in fields:
            space.show(place.view, place.rel)
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
    if "s" in found and isinstance(_there(call, target), Outside):
        try:
            call.io.fs.symlink(source, call.path(target))
        except (RuntimeError, OSError) as exc:
            raise Fail(f"ln: {target}: {reason(exc)}\n") from None
        return 0
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
