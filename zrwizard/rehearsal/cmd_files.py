"""File programs whose words or options differ from the virtual shell's own."""

from __future__ import annotations

import base64
import binascii
import hashlib
import time

from zrwizard.rehearsal import pipes
from zrwizard.rehearsal.clock import ls_date
from zrwizard.rehearsal.cmd_disk import read_device, write_device
from zrwizard.rehearsal.commands import Call, flags, program, programs, reason, tool
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.geli import closed
from zrwizard.rehearsal.machine import Where
from zrwizard.rehearsal.rawname import is_text, wide
from zrwizard.rehearsal.sizes import parse_bytes, words


@tool("mkdir", "/bin")
def mkdir(call: Call) -> str:
    """mkdir(1) with -m and -p."""
    found, names = flags(call.args, "m")
    fs = call.io.fs
    for name in names:
        path = call.path(name)
        if call.exists(path):
            if "p" in found and call.is_dir(path):
                continue
            raise Fail(f"mkdir: {name}: File exists\n")
        try:
            fs.mkdir(path, recursive="p" in found)
            fs.chmod(path, int(found.get("m", "755"), 8))
        except (RuntimeError, OSError) as exc:
            raise Fail(f"mkdir: {name}: {reason(exc)}\n") from None
        except ValueError:
            raise Fail(f"mkdir: invalid file mode: {found['m']}\n") from None
    return ""


@tool("mkfifo")
def mkfifo(call: Call) -> str:
    """mkfifo(1)."""
    found, names = flags(call.args, "m")
    for name in names:
        if call.exists(name):
            raise Fail(f"mkfifo: {name}: File exists\n")
        path = call.path(name)
        call.write(name, pipes.mark(path) if call.machine.space is not None else b"")
        call.io.fs.chmod(path, int(found.get("m", "644"), 8))
        call.machine.fifos.add(path)
    return ""


def _mode(kind: str, mode: int) -> str:
    return kind + "".join(c if mode >> (8 - i) & 1 else "-" for i, c in enumerate("rwxrwxrwx"))


def _long(call: Call, path: str, shown: str, width: int) -> str:
    st = call.io.fs.stat(path)
    kind = {"directory": "d", "symlink": "l"}.get(st["file_type"], "-")
    kind = "p" if path in call.machine.fifos else kind
    size = st["size"]
    mode = st["mode"] & 0o777
    return (
        f"{_mode(kind, mode)}  {2 if kind == 'd' else 1} root  wheel  {size:>{width}d} "
        f"{ls_date(st['modified'] or time.time())} {shown}\n"
    )


@tool("ls", "/bin")
def ls(call: Call) -> str:
    """ls(1): names one a line, -a, -A, -d, -l, -1."""
    found, names = flags(call.args)
    text, files, dirs = "", [], []
    missing = ""
    for name in sorted(names or ["."]):
        if name.startswith("/dev/") and name != "/dev/gpt" and call.machine.place(name):
            text += _device(call, name, "l" in found)
        elif not call.exists(name):
            missing += f"ls: {name}: No such file or directory\n"
        elif call.is_dir(name) and "d" not in found:
            dirs.append(name)
        else:
            files.append(name)
    if "l" in found and files:
        width = max(len(str(call.io.fs.stat(call.path(n))["size"])) for n in files)
        text += "".join(_long(call, call.path(n), n, width) for n in files)
    else:
        text += "".join(f"{n}\n" for n in files)
    for name in dirs:
        if len(dirs) > 1 or files:
            text += f"{chr(10) if text else ''}{name}:\n"
        text += _directory(call, name, found)
    if missing:
        raise Fail(missing, 1, text)
    return text


def _device(call: Call, name: str, long: bool) -> str:
    if not long:
        return f"{name}\n"
    return f"crw-r-----  1 root  operator  0x62 {ls_date(call.machine.booted)} {name}\n"


def _directory(call: Call, name: str, found: dict[str, str]) -> str:
    path = call.path(name)
    entries = {str(e["name"]) for e in call.io.fs.read_dir(path)}
    if path == "/dev":
        entries |= device_names(call)
    entries -= {"tty"} if path == "/dev" else set()
    shown = sorted(e for e in entries if not e.startswith(".") or "a" in found or "A" in found)
    if path == "/dev/gpt":
        shown = sorted(
            w.part.label
            for w in call.machine.places()
            if w.part and w.part.label and not call.machine.users(w)
        )
    dots = [".", ".."] if "a" in found else []
    if "l" not in found:
        return "".join(f"{e}\n" for e in dots + shown)
    text = "total 1\n"
    if path == "/dev/gpt":
        when = ls_date(call.machine.booted)
        text += "".join(f"dr-xr-xr-x   2 root  wheel      512 {when} {d}\n" for d in dots)
        return text + "".join(f"crw-r-----   1 root  operator  0x62 {when} {e}\n" for e in shown)
    width = max([1, *(len(str(call.io.fs.stat(f"{path}/{e}")["size"])) for e in shown)])
    return text + "".join(_long(call, f"{path}/{e}", e, width) for e in shown)


STATIC_DEVICES = words("""
acpi apm apmctl atkbd0 audit auditpipe bpf bpf0 bpsm0 console consolectl ctty cuau0
cuau0.init cuau0.lock devctl devctl2 devstat diskid fd fido full geom.ctl hpet0 input io
iso9660 kbd0 kbd1 kbdmux0 klog kmem log mdctl mem null pci pfil psm0 random reroot stderr
stdin stdout sysmouse ttyu0 ttyu0.init ttyu0.lock ttyv0 ttyv1 ttyv2 ttyv3 ttyv4 ttyv5 ttyv6
ttyv7 ttyv8 ttyv9 ttyva ttyvb ufssuspend uinput urandom usbctl xpt0 zero zfs
""")


def device_names(call: Call) -> set[str]:
    """What /dev lists: fixed nodes, disks, partitions, /dev/gpt."""
    names = set(STATIC_DEVICES) | {w.name for w in call.machine.places()}
    names |= {f"pass{i}" for i, _ in enumerate(d for d in call.machine.disks if d.vendor)}
    if any(w.part and w.part.label for w in call.machine.places()):
        names.add("gpt")
    return names


@program("cat", "/bin")
async def cat(call: Call) -> int:
    """cat(1): streams its input, reads devices as raw bytes."""
    _, names = flags(call.args)
    status = 0
    for name in names or ["-"]:
        if name != "-":
            where = call.machine.place(name) if name.startswith("/dev/") else None
            try:
                await call.out(read_device(where, 0, 1 << 20) if where else call.read(name))
            except Fail as refusal:
                await call.err(refusal.err)
                status = 1
            continue
        while (piece := await call.chunk()) is not None:
            if piece.startswith(b"\x01TTY"):
                tty = call.session.tty
                while tty is not None and (line := await tty.readline()):
                    await call.out(line)
                break
            await call.out(piece)
    return status


@program("dd", "/bin")
async def dd(call: Call) -> int:
    """dd(1) over files, devices and pipes."""
    ops = dict(a.partition("=")[::2] for a in call.args)
    sizes = {
        k: parse_bytes(ops.get(k, d))
        for k, d in (("bs", ""), ("ibs", "512"), ("count", ""), ("skip", "0"), ("seek", "0"))
    }
    block = sizes["bs"] or sizes["ibs"] or 512
    skip, seek, count = sizes["skip"] or 0, sizes["seek"] or 0, sizes["count"]
    skip = int(ops.get("iseek", skip))
    seek = int(ops.get("oseek", seek))
    want = None if count is None else count * block
    source = ops.get("if")
    where = call.machine.place(source) if source and source.startswith("/dev/") else None
    if source in ("/dev/zero", "/dev/random", "/dev/urandom"):
        size = min(want if want is not None else 1 << 20, 1 << 26)
        data = bytes(size) if source == "/dev/zero" else call.machine.rng.randbytes(size)
    elif where is not None and ops.get("of") == "/dev/null" and want:
        return await _dd_timed(call, ops, where, max(0, min(want, where.size - skip * block)))
    elif where is not None:
        data = read_device(where, skip * block, want if want is not None else 64 << 20)
    else:
        data = call.read(source) if source else await call.stdin()
        data = data[skip * block :][: want if want is not None else len(data)]
    full, part = divmod(len(data), block)
    await _dd_out(call, ops, data, seek * block)
    if ops.get("status") != "none":
        seconds = max(1e-6, len(data) / 50e6)
        text = f"{full}+{int(part > 0)} records in\n{full}+{int(part > 0)} records out\n"
        if ops.get("status") != "noxfer":
            text += (
                f"{len(data)} bytes transferred in {seconds:.6f} secs "
                f"({len(data) / seconds:.0f} bytes/sec)\n"
            )
        await call.err(text)
    return 0


async def _dd_timed(call: Call, ops: dict[str, str], where: Where, size: int) -> int:
    """Read a device and throw it away: it takes as long as the disk behind it does."""
    m = call.machine
    block = parse_bytes(ops.get("bs", ops.get("ibs", "512"))) or 512
    seconds = max(1e-6, size / (where.disk.rate * m.rng.uniform(0.97, 1.03)))
    await m.clock.sleep(seconds)
    full, part = divmod(size, block)
    if ops.get("status") != "none":
        text = f"{full}+{int(part > 0)} records in\n{full}+{int(part > 0)} records out\n"
        if ops.get("status") != "noxfer":
            text += (
                f"{size} bytes transferred in {seconds:.6f} secs ({size / seconds:.0f} bytes/sec)\n"
            )
        await call.err(text)
    return 0


async def _dd_out(call: Call, ops: dict[str, str], data: bytes, at: int) -> None:
    target = ops.get("of")
    if target is None:
        await call.out(data)
        return
    where = call.machine.place(target) if target.startswith("/dev/") else None
    if where is not None:
        write_device(call, where, at, data)
        closed(call.machine, where.name)
    elif target != "/dev/null":
        old = (
            call.read(target)
            if "notrunc" in ops.get("conv", "") and call.exists(target)
            else (call.read(target)[:at] if at and call.exists(target) else b"")
        )
        call.write(target, old[:at].ljust(at, b"\0") + data + old[at + len(data) :])


def _input(call: Call, name: str) -> bytes:
    where = call.machine.place(name) if name.startswith("/dev/") else None
    return read_device(where, 0, 1 << 22) if where else call.read(name)


@program("cmp")
async def cmp(call: Call) -> int:
    """cmp(1) of files, devices and standard input; -s, -n, -z."""
    found, names = flags(call.args, "n")
    if len(names) < 2:
        await call.err("usage: cmp [-l | -s | -x] [-hz] file1 file2 [skip1 [skip2]]\n")
        return 2
    stdin = await call.stdin() if "-" in names[:2] else b""
    one, two = (stdin if n == "-" else _input(call, n) for n in names[:2])
    if "n" in found and found["n"].isdigit():
        one, two = one[: int(found["n"])], two[: int(found["n"])]
    if one == two:
        return 0
    at = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), None)
    if "s" not in found:
        if at is None:
            shorter = names[0] if len(one) < len(two) else names[1]
            await call.err(f"cmp: EOF on {shorter}\n")
        else:
            line = one[:at].count(b"\n") + 1
            await call.out(f"{names[0]} {names[1]} differ: char {at + 1}, line {line}\n")
    return 1


def _crc(data: bytes) -> int:
    crc = 0
    size = len(data)
    tail = bytearray()
    while size:
        tail.append(size & 0xFF)
        size >>= 8
    for byte in data + bytes(tail):
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC_TABLE[crc >> 24 ^ byte]
    return ~crc & 0xFFFFFFFF


def cksum_line(data: bytes) -> str:
    """What cksum(1) prints of its standard input."""
    return f"{_crc(data)} {len(data)}\n"


def _table() -> list[int]:
    table = []
    for value in range(256):
        crc = value << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
        table.append(crc)
    return table


_CRC_TABLE = _table()


@program("cksum")
async def cksum(call: Call) -> int:
    """cksum(1): the POSIX CRC, also of devices."""
    _, names = flags(call.args, "o")
    if not names:
        data = await call.stdin()
        if call.machine.space is not None and (path := pipes.marked(data)):
            await call.out(pipes.promise(call.machine, path))
            return 0
        await call.out(cksum_line(data))
    for name in names:
        data = _input(call, name)
        await call.out(f"{_crc(data)} {len(data)} {name}\n")
    return 0


async def _digest(call: Call, kind: str) -> int:
    found, names = flags(call.args, "cs")
    if "s" in found:
        await call.out(hashlib.new(kind, found["s"].encode()).hexdigest() + "\n")
        return 0
    if not names:
        await call.out(hashlib.new(kind, await call.stdin()).hexdigest() + "\n")
    for name in names:
        value = hashlib.new(kind, _input(call, name)).hexdigest()
        label = kind.upper()
        await call.out(f"{value}\n" if "q" in found else f"{label} ({name}) = {value}\n")
    return 0


@program("sha256", "/sbin")
async def sha256(call: Call) -> int:
    """sha256(1)."""
    return await _digest(call, "sha256")


@program("md5", "/sbin")
async def md5(call: Call) -> int:
    """md5(1)."""
    return await _digest(call, "md5")


@program("b64encode")
async def b64encode(call: Call) -> int:
    """b64encode(1), lines of 60 characters' worth as uuencode's successor writes them."""
    found, names = flags(call.args, "o")
    data = call.read(names[0]) if len(names) > 1 else await call.stdin()
    text = base64.b64encode(data).decode()
    body = "".join(text[i : i + 60] + "\n" for i in range(0, len(text), 60))
    if "r" not in found:
        body = f"begin-base64 644 {names[-1] if names else 'x'}\n{body}====\n"
    await call.out(body)
    return 0


@program("b64decode")
async def b64decode(call: Call) -> int:
    """b64decode(1)."""
    found, names = flags(call.args, "o")
    data = call.read(names[0]) if names else await call.stdin()
    lines = data.split(b"\n")
    if "r" not in found:
        starts = [i for i, line in enumerate(lines) if line.startswith(b"begin-base64 ")]
        if not starts:
            await call.err('b64decode: stdin: missing or bad "begin" line\n')
            return 1
        lines = lines[starts[0] + 1 :]
        lines = lines[: lines.index(b"====")] if b"====" in lines else lines
    try:
        plain = base64.b64decode(b"".join(lines))
    except binascii.Error:
        await call.err("b64decode: stdin: error decoding base64 input stream\n")
        return 1
    if "o" in found:
        call.write(found["o"], plain)
    elif call.machine.space is not None and is_text(plain):
        # It may be a command with a name in it that is no UTF-8.
        await call.io.stdout.write(wide(plain).encode())
    else:
        await call.out(plain)
    return 0


@tool("which")
def which(call: Call) -> str:
    """which(1): programs of this system; silent for what is missing, status 1."""
    _, names = flags(call.args)
    text = ""
    missing = False
    here = programs(call.machine)
    for name in names:
        known = here.get(name)
        path = EXTRA_PATHS.get(name) or (known.path if known else "")
        if path:
            text += f"{path}\n"
        else:
            missing = True
    if missing:
        raise Fail("", 1, text)
    return text


EXTRA_PATHS = {
    n: f"/usr/bin/{n}"
    for n in words("""
mktemp uuencode openssl base64 fetch mkimg jot seq xz zstd awk sed grep head tail sort tr
cut wc gzip tee xargs find stat touch basename dirname env
""")
} | {
    "makefs": "/usr/sbin/makefs",
    "rm": "/bin/rm",
    "cp": "/bin/cp",
    "mv": "/bin/mv",
    "echo": "/bin/echo",
    "test": "/bin/test",
    "sh": "/bin/sh",
    "sleep": "/bin/sleep",
}


@program("openssl")
async def openssl(call: Call) -> int:
    """openssl(1): version, base64, and digests of standard input."""
    verb, rest = (call.args or [""])[0], call.args[1:]
    if verb == "version":
        await call.out("OpenSSL 1.1.1q-freebsd  5 Jul 2022\n")
        return 0
    if verb in ("base64", "enc"):
        data = await call.stdin()
        if "-d" in rest:
            await call.out(base64.b64decode(b"".join(data.split())))
            return 0
        text = base64.b64encode(data).decode()
        step = len(text) + 1 if "-A" in rest else 64
        await call.out(
            "".join(
                text[i : i + step] + ("" if "-A" in rest else "\n")
                for i in range(0, len(text), step)
            )
        )
        return 0
    await call.err(f"Invalid command '{verb}'; type \"help\" for a list.\n")
    return 1


@tool("bectl", "/sbin")
def bectl(call: Call) -> str:
    """bectl(8) finds no boot environments where / is not ZFS."""
    del call
    raise Fail('libbe_init("") failed.\n', 255)


@tool("sync", "/bin")
def sync(call: Call) -> str:
    """sync(8)."""
    del call
    return ""


@tool("jot")
def jot(call: Call) -> str:
    """jot(1): count and start."""
    _, names = flags(call.args, "bws")
    count = int(names[0]) if names and names[0].isdigit() else 100
    start = int(names[1]) if len(names) > 1 else 1
    return "".join(f"{start + i}\n" for i in range(count))
