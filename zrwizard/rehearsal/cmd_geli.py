"""geli(8) (facts/freebsd.md C3, and the recorded session)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from zrwizard.rehearsal.cmd_disk import watched
from zrwizard.rehearsal.commands import Call, program
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.filespace import Place
from zrwizard.rehearsal.geli import (
    AUTORESIZE,
    BOOT,
    GELIBOOT,
    SECTOR,
    Attached,
    Geli,
    Keys,
    attach,
    detach,
    make,
    metadata,
)
from zrwizard.rehearsal.machine import Where
from zrwizard.rehearsal.sizes import geom_size, parse_bytes

AT_LEAST = "geli: There was an error with at least one provider.\n"
KEYLENGTHS = ("128", "256")
USAGE = (
    "usage: geli init [-bdgPRTv] [-a aalgo] [-B backupfile] [-e ealgo] [-i iterations] "
    "[-l keylen] [-J newpassfile] [-K newkeyfile] [-s sectorsize] [-V version] prov ...\n"
)
NOTICE = """
Metadata backup for provider {prov} can be found in {file}
and can be restored with the following command:

\t# geli restore {file} {prov}

"""
_VALUES = {
    "init": "aBeilJKsV",
    "attach": "njk",
    "setkey": "nijJkK",
    "dump": "",
    "configure": "",
}


@dataclass(slots=True)
class Given:
    """A verb's options, its key files in order, and its operands."""

    flags: dict[str, str]
    files: list[str]
    phrases: list[str]
    names: list[str]


def given(verb: str, words: list[str]) -> Given:
    """Read the command line as getopt(3) does; -k, -K, -j and -J may come more than once."""
    found = Given({}, [], [], [])
    rest = list(words)
    values = _VALUES.get(verb, "")
    while rest and rest[0].startswith("-") and rest[0] != "-":
        letters = rest.pop(0)[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter not in values:
                found.flags[letter] = ""
                continue
            value = letters or (rest.pop(0) if rest else "")
            found.flags[letter] = value
            if letter in "kK":
                found.files.append(value)
            elif letter in "jJ":
                found.phrases.append(value)
            break
    found.names = rest
    return found


@program("geli", "/sbin")
async def geli(call: Call) -> int:
    """geli(8)."""
    verbs: dict[str, Callable[[Call, Given], Awaitable[int]]] = {
        "init": _init,
        "attach": _attach,
        "detach": _detach,
        "status": _status,
        "list": _list,
        "backup": _backup,
        "restore": _restore,
        "dump": _dump,
        "clear": _clear,
        "kill": _kill,
    }
    verb = call.args[0] if call.args else ""
    if verb not in verbs:
        raise Fail(USAGE)
    found = given(verb, call.args[1:])
    if "v" in found.flags and verb not in ("status", "list"):
        status = await verbs[verb](call, found)
        await call.out("Done.\n" if not status else "")
        return status
    return await verbs[verb](call, found)


async def _each(call: Call, names: list[str], act: Callable[[str], Awaitable[None]]) -> int:
    """Do something to every provider: one that fails does not stop the others."""
    status = 0
    for name in names:
        try:
            await act(name)
        except Fail as refusal:
            await call.err(refusal.err)
            status = 1
    if status:
        await call.err(AT_LEAST)
    return status


def _short(name: str) -> str:
    return name.removeprefix("/dev/")


async def _keys(call: Call, found: Given, *, new: bool) -> Keys:
    """The components of the user key; the passphrase is asked for on the terminal."""
    keys = Keys()
    for path in found.files:
        if path == "-":
            keys.files += await call.stdin()
            continue
        try:
            keys.files += call.read(path)
        except Fail:
            raise Fail(f"geli: Cannot open keyfile {path}: No such file or directory.\n") from None
    if {"p", "P"} & set(found.flags):
        if found.phrases:
            raise Fail("geli: Options -j and -p are mutually exclusive.\n")
        if not found.files:
            raise Fail("geli: No key components given.\n")
        return keys
    for path in found.phrases:
        try:
            text = await call.stdin() if path == "-" else call.read(path)
        except Fail:
            raise Fail(f"geli: Cannot open passfile {path}: No such file or directory.\n") from None
        keys.passphrase += text.split(b"\n")[0]
    if not found.phrases:
        keys.passphrase = await _asked(call, new=new)
    return keys


async def _asked(call: Call, *, new: bool) -> bytes:
    tty = call.session.tty
    if tty is None:
        raise Fail("geli: Cannot read passphrase: Device not configured.\n")
    while True:
        if not new:
            return await tty.secret("Enter passphrase: ")
        first = await tty.secret("Enter new passphrase: ")
        if first == await tty.secret("Reenter new passphrase: "):
            return first
        tty.write(b"They didn't match.\n")


def _provider(call: Call, name: str) -> Where:
    where = call.machine.place(name)
    if where is None:
        raise Fail(f"geli: Cannot open {name}: No such file or directory.\n")
    return where


def _written(call: Call, name: str) -> tuple[Where, Geli]:
    """A provider that has metadata."""
    where = _provider(call, name)
    found = metadata(where)
    if found is None:
        raise Fail(f"geli: Cannot read metadata from {name}: Invalid argument.\n")
    return where, found


# init, attach, detach


async def _init(call: Call, found: Given) -> int:
    sector = parse_bytes(found.flags.get("s", "0")) or 0
    length = found.flags.get("l", "128")
    if found.flags.get("e", "AES-XTS").upper() != "AES-XTS" or length not in KEYLENGTHS:
        raise Fail("geli: Invalid encryption algorithm or key length.\n")

    async def one(name: str) -> None:
        where = _provider(call, name)
        size = sector or where.disk.sector
        if size & (size - 1) or size % where.disk.sector:
            raise Fail("geli: Invalid sector size.\n")
        keys = await _keys(call, found, new=True)
        if call.machine.users(where):
            raise Fail(f"geli: Cannot store metadata on {name}: Operation not permitted.\n")
        watched(call.machine, where.disk, "geli init")
        flags = AUTORESIZE * ("R" not in found.flags)
        flags |= BOOT * ("b" in found.flags) | GELIBOOT * ("g" in found.flags)
        made = make(call.machine.rng, where, sector=size, keylen=int(length), flags=flags, key=keys)
        made.inner.rate = where.disk.rate * 0.71
        call.machine.load("geom_eli")
        call.machine.refresh_nodes()
        await _keep(call, found, name, made)

    return await _each(call, found.names, one)


async def _keep(call: Call, found: Given, name: str, made: Geli) -> None:
    """The backup of fresh metadata, which `-B none` leaves out."""
    if found.flags.get("B") == "none":
        return
    path = found.flags.get("B") or f"/var/backups/{_short(name).replace('/', '_')}.eli"
    try:
        call.write(path, made.block())
    except Fail as refusal:
        words = refusal.err.rpartition(": ")[2].strip()
        raise Fail(f"geli: Unable to open {path}: {words}.\n") from None
    prov = name if name.startswith("/dev/") else f"/dev/{name}"
    await call.out(NOTICE.format(prov=prov, file=path))


async def _attach(call: Call, found: Given) -> int:
    if {"d", "r"} <= set(found.flags):
        raise Fail("geli: Options -d and -r are mutually exclusive.\n")

    async def one(name: str) -> None:
        where, geli = _written(call, name)
        if geli.size != where.size:
            raise Fail("geli: Provider size mismatch.\n")
        if "p" not in found.flags and geli.iterations == -1:
            raise Fail("geli: Missing -p flag.\n")
        slot = geli.opens((await _keys(call, found, new=False)).joined())
        if not geli.used:
            raise Fail(f"geli: No valid keys on {where.name}.\n")
        if slot is None:
            raise Fail(f"geli: Wrong key for {where.name}.\n")
        if "C" in found.flags:
            return
        if call.machine.users(where):
            raise Fail(f"geli: Cannot access {where.name} (error=1).\n")
        attach(
            call.machine,
            where,
            slot,
            on_close="d" in found.flags,
            read_only="r" in found.flags,
        )

    return await _each(call, found.names, one)


def _device(call: Call, name: str) -> Attached:
    short = _short(name).removesuffix(".eli")
    for made in call.machine.attached:
        if made.name == f"{short}.eli":
            return made
    raise Fail(f"geli: No such device: {short}.\n")


async def _detach(call: Call, found: Given) -> int:
    for name in found.names:
        made = _device(call, name)
        if call.machine.users(Where(made.geli.inner, None, made.name)):
            if "l" in found.flags:
                made.on_close = True
                continue
            if "f" not in found.flags:
                raise Fail(f"geli: Cannot destroy device {made.name} (error=16).\n")
            call.machine.accident(f"{made.name} was detached by force while it was in use")
        detach(call.machine, made)
    return 0


# status and list


async def _status(call: Call, found: Given) -> int:
    rows = [(a.name, "ACTIVE", a.provider) for a in call.machine.attached]
    if not rows:
        return 0
    wide = max(len(r[0]) for r in rows)
    if "s" not in found.flags:
        wide = max(wide, 4)
        await call.out(f"{'Name':>{wide}s}  Status  Components\n")
    await call.out("".join(f"{n:>{wide}s}  {s}  {c}\n" for n, s, c in rows))
    return 0


async def _list(call: Call, found: Given) -> int:
    wanted = [_short(n) for n in found.names]
    for name in wanted:
        if all(name != a.name for a in call.machine.attached):
            raise Fail(f"geli: Class 'ELI' does not have an instance named '{name}'.\n")
    for made in call.machine.attached:
        if not wanted or made.name in wanted:
            await call.out(_block(call, made))
    return 0


def _block(call: Call, made: Attached) -> str:
    geli, disk = made.geli, made.disk
    place = call.machine.place(made.provider)
    size = place.size if place is not None else geli.size
    held = call.machine.users(Where(geli.inner, None, made.name))
    rows = [
        f"Geom name: {made.name}",
        "State: ACTIVE",
        "EncryptionAlgorithm: AES-XTS",
        f"KeyLength: {geli.keylen}",
        "Crypto: accelerated software",
        f"Version: {7}",
        f"UsedKey: {made.slot}",
        f"Flags: {_flags(made)}",
        "KeysAllocated: 1",
        "KeysTotal: 1",
        "Providers:",
        f"1. Name: {made.name}",
        f"   Mediasize: {geli.inner.size} ({geom_size(geli.inner.size)})",
        f"   Sectorsize: {geli.sector}",
        f"   Mode: {'r1w1e1' if held else 'r0w0e0'}",
        "Consumers:",
        f"1. Name: {made.provider}",
        f"   Mediasize: {size} ({geom_size(size)})",
        f"   Sectorsize: {disk.sector}",
    ]
    if disk.stripe:
        rows += [f"   Stripesize: {disk.stripe}", "   Stripeoffset: 0"]
    return "\n".join([*rows, f"   Mode: {'r1w0e1' if made.read_only else 'r1w1e1'}"]) + "\n\n"


def _flags(made: Attached) -> str:
    words = [w for w in made.geli.flag_words().split(", ") if w != "NONE"]
    words += ["READ-ONLY"] * made.read_only + ["W-DETACH"] * made.on_close
    return ", ".join(words) or "NONE"


# Metadata


async def _backup(call: Call, found: Given) -> int:
    if len(found.names) != 2:
        raise Fail("geli: Invalid number of arguments.\n")
    name, path = found.names
    _, geli = _written(call, name)
    try:
        call.write(path, geli.block())
    except Fail as refusal:
        words = refusal.err.rpartition(": ")[2].strip()
        raise Fail(f"geli: Unable to open {path}: {words}.\n") from None
    _private(call, path)
    return 0


def _private(call: Call, path: str) -> None:
    """geli makes its backups with mode 600."""
    place = call.machine.space.find(call.where(path)) if call.machine.space else None
    if isinstance(place, Place):
        place.tree.change(place.rel, mode=0o600)
    else:
        call.io.fs.chmod(call.path(path), 0o600)


async def _restore(call: Call, found: Given) -> int:
    if len(found.names) != 2:
        raise Fail("geli: Invalid number of arguments.\n")
    path, name = found.names
    try:
        data = call.read(path)
    except Fail:
        raise Fail(f"geli: Unable to open {path}: No such file or directory.\n") from None
    where = _provider(call, name)
    known = metadata(where)
    if known is None or known.block() != data[:SECTOR]:
        raise Fail(f"geli: MD5 hash mismatch: this is not a GELI metadata backup of {name}?\n")
    return 0


async def _dump(call: Call, found: Given) -> int:
    async def one(name: str) -> None:
        await call.out(_written(call, name)[1].dump(name))

    return await _each(call, found.names, one)


async def _clear(call: Call, found: Given) -> int:
    async def one(name: str) -> None:
        where, _ = _written(call, name)
        if call.machine.users(where):
            raise Fail(f"geli: Cannot clear metadata on {name}: Operation not permitted.\n")
        watched(call.machine, where.disk, "geli clear")
        where.disk.contents.pop(where.offset, None)
        where.disk.writes += 1

    return await _each(call, found.names, one)


async def _kill(call: Call, found: Given) -> int:
    async def one(name: str) -> None:
        where = _provider(call, name)
        watched(call.machine, where.disk, "geli kill")
        for made in [a for a in call.machine.attached if a.provider == where.name]:
            detach(call.machine, made)
        where.disk.contents.pop(where.offset, None)
        where.disk.writes += 1
        call.machine.kernel(f"GEOM_ELI: {where.name} has been killed.")

    return await _each(call, found.names, one)
