"""gpart(8) (facts/freebsd.md B2 and C1, and the recorded session)."""

from __future__ import annotations

from zrwizard.rehearsal import gpt
from zrwizard.rehearsal.cmd_disk import disk_mode, sectors_or_fail, watched
from zrwizard.rehearsal.commands import Call, flags, tool
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.hardware import Content, Disk, Gpt, Partition
from zrwizard.rehearsal.machine import Where
from zrwizard.rehearsal.sizes import geom_size


@tool("gpart", "/sbin")
def gpart(call: Call) -> str:
    """gpart(8)."""
    return run_gpart(call, call.args)


def run_gpart(call: Call, args: list[str]) -> str:
    """Run a gpart verb (also reached as `geom part`)."""
    verbs = {
        "create": _create,
        "destroy": _destroy,
        "add": _add,
        "delete": _delete,
        "show": _show,
        "list": _list,
        "backup": _backup,
        "bootcode": _bootcode,
        "modify": _modify,
        "set": _set,
        "unset": _set,
        "recover": _recover,
        "resize": _resize,
        "status": _status,
        "undo": _nothing,
        "commit": _nothing,
    }
    if not args or args[0] not in verbs:
        raise Fail(f"gpart: Unknown command: {args[0] if args else ''}.\n")
    text = verbs[args[0]](call, args)
    call.machine.refresh_nodes()
    return text


def _disk(call: Call, name: str) -> Disk:
    disk = call.machine.disk(name)
    if disk is None:
        raise Fail(f"gpart: arg0 '{name.removeprefix('/dev/')}': Invalid argument\n")
    return disk


def _table(call: Call, name: str) -> tuple[Disk, Gpt]:
    name = name.removeprefix("/dev/")
    disk = call.machine.disk(name)
    if disk is None or disk.table is None:
        raise Fail(f"gpart: No such geom: {name}.\n")
    return disk, disk.table


def _sound(disk: Disk, table: Gpt) -> None:
    if table.corrupt:
        raise Fail(f"gpart: table '{disk.name}' is corrupt: Operation not permitted\n")


def _create(call: Call, args: list[str]) -> str:
    found, names = flags(args[1:], "snpf")
    disk = _disk(call, names[0] if names else "")
    if disk.table is not None:
        raise Fail(f"gpart: geom '{disk.name}': File exists\n")
    if call.machine.users(Where(disk, None, disk.name)):
        raise Fail(f"gpart: geom '{disk.name}': Operation not permitted\n")
    if found.get("s", "").lower() != "gpt":
        raise Fail(f"gpart: scheme '{found.get('s', '')}': Invalid argument\n")
    if disk.read_only or disk.sectors < 100:
        raise Fail(f"gpart: geom '{disk.name}': Permission denied\n")
    watched(call.machine, disk, "gpart create")
    disk.table = gpt.new_table(disk)
    disk.writes += 1
    return f"{disk.name} created\n"


def _destroy(call: Call, args: list[str]) -> str:
    found, names = flags(args[1:], "f")
    disk = _disk(call, names[0] if names else "")
    if disk.table is None:
        raise Fail(f"gpart: arg0 '{disk.name}': Invalid argument\n")
    parts = [w for w in call.machine.places() if w.disk is disk and w.part is not None]
    if (parts and "F" not in found) or any(call.machine.users(w) for w in parts):
        raise Fail("gpart: Device busy\n")
    watched(call.machine, disk, "gpart destroy")
    disk.table = None
    disk.writes += 1
    return f"{disk.name} destroyed\n"


def _add(call: Call, args: list[str]) -> str:
    found, names = flags(args[1:], "abfilst")
    name = (names[0] if names else "").removeprefix("/dev/")
    disk = call.machine.disk(name)
    if disk is None:
        raise Fail(f"gpart: No such geom {name}.\n")
    if disk.table is None:
        raise Fail(
            f"gpart: No partitioning scheme found on geom {name}. Create one first using "
            "'gpart create'.\n"
        )
    _sound(disk, disk.table)
    align = (
        sectors_or_fail(found["a"], disk.sector, "alignment")
        if "a" in found
        else max(1, disk.stripe // disk.sector)
    )
    start = sectors_or_fail(found["b"], disk.sector, "start") if "b" in found else None
    size = sectors_or_fail(found["s"], disk.sector, "size") if "s" in found else None
    room = gpt.autofill(disk.table, start, size, align)
    index = int(found["i"]) if found.get("i", "").isdigit() else None
    watched(call.machine, disk, "gpart add")
    part = gpt.place(
        disk,
        disk.table,
        room,
        kind=found.get("t", ""),
        index=index,
        label=found.get("l", ""),
        rng=call.machine.rng,
    )
    return f"{disk.name}p{part.index} added\n"


def _one(
    call: Call, args: list[str], letters: str = "filat"
) -> tuple[Disk, Gpt, Partition, dict[str, str]]:
    found, names = flags(args[1:], letters)
    disk = _disk(call, names[0] if names else "")
    if disk.table is None:
        raise Fail(f"gpart: arg0 '{disk.name}': Invalid argument\n")
    _sound(disk, disk.table)
    index = int(found["i"]) if found.get("i", "").isdigit() else 0
    if index not in disk.table.parts:
        raise Fail(f"gpart: index '{index}': No such file or directory\n")
    watched(call.machine, disk, f"gpart {args[0]}")
    disk.writes += 1
    return disk, disk.table, disk.table.parts[index], found


def _delete(call: Call, args: list[str]) -> str:
    disk, table, part, _ = _one(call, args)
    if call.machine.users(Where(disk, part, f"{disk.name}p{part.index}")):
        raise Fail("gpart: Device busy\n")
    del table.parts[part.index]
    return f"{disk.name}p{part.index} deleted\n"


def _modify(call: Call, args: list[str]) -> str:
    disk, _, part, found = _one(call, args)
    part.label = found.get("l", part.label)
    part.kind = found.get("t", part.kind)
    return f"{disk.name}p{part.index} modified\n"


def _set(call: Call, args: list[str]) -> str:
    found, _ = flags(args[1:], "ai")
    if "i" not in found:
        disk = _disk(call, args[-1])
        return f"{found.get('a', '')} {args[0]} on {disk.name}\n"
    disk, _, part, found = _one(call, args)
    name = found.get("a", "")
    if name not in ("bootme", "bootonce", "bootfailed"):
        raise Fail(f"gpart: attrib '{name}': Invalid argument\n")
    part.attributes = part.attributes | {name} if args[0] == "set" else part.attributes - {name}
    return f"{name} {args[0]} on {disk.name}p{part.index}\n"


def _resize(call: Call, args: list[str]) -> str:
    disk, table, part, found = _one(call, args, "afis")
    align = sectors_or_fail(found["a"], disk.sector, "alignment") if "a" in found else 1
    limit = min(
        [p.start for p in table.parts.values() if p.start > part.start], default=table.last + 1
    )
    size = (
        sectors_or_fail(found["s"], disk.sector, "size") if "s" in found else (limit - part.start)
    )
    size = gpt.down(size, align)
    if part.start + size > limit:
        raise Fail("gpart: autofill: No space left on device\n")
    part.count = size
    return f"{disk.name}p{part.index} resized\n"


def _recover(call: Call, args: list[str]) -> str:
    _, names = flags(args[1:], "f")
    disk, table = _table(call, names[0] if names else "")
    if not table.corrupt:
        return f"{disk.name} recovering is not needed\n"
    watched(call.machine, disk, "gpart recover")
    table.corrupt = False
    return f"{disk.name} recovered\n"


def _nothing(call: Call, args: list[str]) -> str:
    _disk(call, args[-1])
    raise Fail("gpart: Operation not permitted\n")


def _bootcode(call: Call, args: list[str]) -> str:
    found, names = flags(args[1:], "bpif")
    name = (names[0] if names else "").removeprefix("/dev/")
    disk, table = _table(call, name)
    _sound(disk, table)
    text = ""
    boot = _code(call, found["b"]) if "b" in found else b""
    if len(boot) > 512:
        raise Fail(f"gpart: {found['b']}: file too big (512 limit)\n")
    if "p" in found:
        code = _code(call, found["p"])
        if "i" not in found:
            raise Fail("gpart: missing -i option\n")
        index = int(found["i"]) if found["i"].isdigit() else 0
        part = table.parts.get(index)
        if part is None:
            raise Fail("gpart: invalid partition index\n")
        where = Where(disk, part, f"{disk.name}p{index}")
        if call.machine.users(where):
            raise Fail(f"gpart: /dev/{where.name}: Operation not permitted\n")
        if len(code) > where.size:
            raise Fail(f"gpart: /dev/{where.name}: not enough space\n")
        watched(call.machine, disk, "gpart bootcode")
        disk.overwrite(where.offset, Content(where.size, head=code))
        text += f"partcode written to {where.name}\n"
    if boot:
        watched(call.machine, disk, "gpart bootcode")
        table.pmbr = boot
        disk.writes += 1
        text += f"bootcode written to {disk.name}\n"
    return text


def _code(call: Call, name: str) -> bytes:
    return call.read(name)


def _tables(call: Call, names: list[str]) -> list[tuple[Disk, Gpt]]:
    if names:
        return [_table(call, n) for n in names]
    return [(d, d.table) for d in call.machine.disks if d.table is not None]


def _show(call: Call, args: list[str]) -> str:
    found, names = flags(args[1:])
    text = ""
    for disk, table in _tables(call, names):
        wide = len(str(table.last))
        named = len(disk.name) + (2 if "p" in found else 0)
        if "p" in found:
            named = max([named, *(len(f"{disk.name}p{i}") for i in table.parts)])
        count = table.last - table.first + 1
        mark = " [CORRUPT]" if table.corrupt else ""
        text += (
            f"=>{table.first:>{wide}d}  {count:>{wide}d}  {disk.name:>{named}s}  GPT  "
            f"({geom_size(disk.size)}){mark}\n"
        )
        parts = {p.start: p for p in table.parts.values()}
        free = dict(gpt.gaps(table))
        for start in sorted([*parts, *free]):
            if start in parts:
                text += _row(disk, parts[start], found, wide, named)
            else:
                size = free[start] - start + 1
                text += (
                    f"  {start:>{wide}d}  {size:>{wide}d}  {'':>{named}s}  - free -  "
                    f"({geom_size(size * disk.sector)})\n"
                )
        text += "\n"
    return text


def _row(disk: Disk, part: Partition, found: dict[str, str], wide: int, named: int) -> str:
    name = f"{disk.name}p{part.index}" if "p" in found else str(part.index)
    what = part.kind
    if "l" in found:
        what = part.label or "(null)"
    elif "r" in found:
        what = gpt.RAW_TYPES.get(part.kind, part.kind.lstrip("!"))
    marks = f" [{','.join(sorted(part.attributes))}] " if part.attributes else " "
    return (
        f"  {part.start:>{wide}d}  {part.count:>{wide}d}  {name:>{named}s}  {what}{marks} "
        f"({geom_size(part.count * disk.sector)})\n"
    )


def _backup(call: Call, args: list[str]) -> str:
    _, names = flags(args[1:])
    disk, table = _table(call, names[0] if names else "")
    parts = sorted(table.parts.values(), key=lambda p: p.index)
    del disk
    wide = [
        max((len(str(v)) for v in column), default=0)
        for column in zip(*((p.kind, p.start, p.count) for p in parts), strict=True)
    ] or [0, 0, 0]
    text = "GPT 128\n"
    for p in parts:
        text += (
            f"{p.index:<3d} {p.kind:>{wide[0]}s} {p.start:>{wide[1]}d} "
            f"{p.count:>{wide[2]}d} {p.label} {','.join(sorted(p.attributes))}\n"
        )
    return text


def _status(call: Call, args: list[str]) -> str:
    _, names = flags(args[1:])
    rows = [
        (f"{d.name}p{i}", "CORRUPT" if t.corrupt else "OK", d.name)
        for d, t in _tables(call, names)
        for i in sorted(t.parts)
    ]
    wide = max([4, *(len(r[0]) for r in rows)])
    return (
        (
            f"{'Name':>{wide}s}  Status  Components\n"
            + "".join(f"{n:>{wide}s}  {s:>6s}  {c}\n" for n, s, c in rows)
        )
        if rows
        else ""
    )


def _list(call: Call, args: list[str]) -> str:
    _, names = flags(args[1:])
    text = ""
    for disk, table in _tables(call, names):
        text += (
            f"Geom name: {disk.name}\nmodified: false\n"
            f"state: {'CORRUPT' if table.corrupt else 'OK'}\nfwheads: {disk.heads}\n"
            f"fwsectors: {disk.track}\nlast: {table.last}\nfirst: {table.first}\n"
            "entries: 128\nscheme: GPT\n"
        )
        if table.parts:
            text += "Providers:\n"
        for number, part in enumerate(sorted(table.parts.values(), key=lambda p: p.index), 1):
            text += _provider(call, disk, part, number)
        text += (
            f"Consumers:\n1. Name: {disk.name}\n   Mediasize: {disk.size} "
            f"({geom_size(disk.size)})\n   Sectorsize: {disk.sector}\n"
            f"   Mode: {disk_mode(call.machine, disk)}\n\n"
        )
    return text


def _provider(call: Call, disk: Disk, part: Partition, number: int) -> str:
    size, offset = part.count * disk.sector, part.start * disk.sector
    used = call.machine.users(Where(disk, part, f"{disk.name}p{part.index}"))
    raw = gpt.RAW_TYPES.get(part.kind, part.kind.lstrip("!"))
    return (
        f"{number}. Name: {disk.name}p{part.index}\n   Mediasize: {size} ({geom_size(size)})\n"
        f"   Sectorsize: {disk.sector}\n   Stripesize: {disk.stripe}\n"
        f"   Stripeoffset: {offset}\n   Mode: {'r1w1e1' if used else 'r0w0e0'}\n"
        f"   efimedia: HD({part.index},GPT,{part.uuid},{part.start:#x},{part.count:#x})\n"
        f"   rawuuid: {part.uuid}\n   rawtype: {raw}\n   label: {part.label or '(null)'}\n"
        f"   length: {size}\n   offset: {offset}\n   type: {part.kind}\n"
        f"   index: {part.index}\n   end: {part.end}\n   start: {part.start}\n"
    )
