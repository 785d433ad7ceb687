"""Programs that say what the system is: uname, sysctl, kenv, kldstat, swapinfo, df and so on."""

from __future__ import annotations

from zrwizard.rehearsal.commands import Call, flags, tool
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.hardware import Disk
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.zfsstate import available, referenced

KMODS = {
    "kernel": (0xFFFFFFFF80200000, 0xD72D98),
    "zfs": (0xFFFFFFFF81600000, 0x3F2930),
    "xdr": (0xFFFFFFFF81518000, 0x3178),
    "crypto": (0xFFFFFFFF8151C000, 0x3F7A0),
    "zlib": (0xFFFFFFFF8155C000, 0x10160),
    "geom_eli": (0xFFFFFFFF81578000, 0xDB10),
    "aesni": (0xFFFFFFFF81590000, 0xA288),
    "cryptodev": (0xFFFFFFFF815A0000, 0x3348),
    "unionfs": (0xFFFFFFFF815B0000, 0x8000),
}
MODULE_IDS = {"zfs": 240}


def version(machine: Machine) -> str:
    """`14.0-CURRENT`, `14.3-RELEASE`."""
    return machine.kernel_id.split()[1]


@tool("uname")
def uname(call: Call) -> str:
    """uname(1)."""
    m = call.machine
    ident = m.kernel_id + "    "
    parts = {
        "s": "FreeBSD",
        "n": m.hostname,
        "r": version(m),
        "v": ident + " root@build:/usr/obj/usr/src/amd64.amd64/sys/GENERIC",
        "m": "amd64",
        "p": "amd64",
        "i": "GENERIC",
        "K": "1400063",
        "U": "1400063",
    }
    found, _ = flags(call.args)
    letters = "snrvm" if "a" in found else "".join(k for k in "snrvmpiKU" if k in found) or "s"
    return " ".join(parts[k] for k in letters) + "\n"


@tool("freebsd-version", "/bin")
def freebsd_version(call: Call) -> str:
    """freebsd-version(1)."""
    found, _ = flags(call.args)
    return f"{version(call.machine)}\n" * max(1, len(set(found) & set("kru")))


@tool("hostname", "/bin")
def hostname(call: Call) -> str:
    """hostname(1)."""
    if call.args:
        call.machine.hostname = call.args[-1]
        return ""
    return f"{call.machine.hostname}\n"


@tool("id")
def identity(call: Call) -> str:
    """id(1): always root."""
    found, _ = flags(call.args)
    if "u" in found or "g" in found:
        return ("root\n" if "u" in found else "wheel\n") if "n" in found else "0\n"
    return "uid=0(root) gid=0(wheel) groups=0(wheel)\n"


@tool("whoami")
def whoami(call: Call) -> str:
    """whoami(1)."""
    del call
    return "root\n"


@tool("sysctl", "/sbin")
def sysctl(call: Call) -> str:
    """sysctl(8): reading, and writing what can be written."""
    found, names = flags(call.args)
    text = ""
    for item in names:
        name, sign, value = item.partition("=")
        known = dict(_sysctls(call.machine))
        if name not in known:
            ignored = "i" in found or "q" in found
            if ignored:
                continue
            raise Fail(f"sysctl: unknown oid '{name}'\n", out=text)
        if not sign:
            text += f"{known[name]}\n" if "n" in found else f"{name}: {known[name]}\n"
            continue
        call.machine.sysctls[name] = value
        text += f"{value}\n" if "n" in found else f"{name}: {known[name]} -> {value}\n"
    return text


def _sysctls(m: Machine) -> dict[str, str]:
    names = [d.name for d in reversed(m.disks)]
    # Attach order of the recorded machine: virtio first, the optical drive before SCSI and SATA.
    order = {"vtbd": 0, "cd": 1, "ada": 2, "da": 3}
    names.sort(key=lambda n: (-order.get(n.rstrip("0123456789"), 4), -int(n[-1])))
    return {
        "kern.disks": " ".join(names),
        "hw.physmem": "1057894400",
        "hw.ncpu": "2",
        "machdep.bootmethod": "BIOS",
        "kern.consmute": "0",
        "kern.console": "ttyu0,ttyv0,/sc_consdev,ttyu0,ttyv0,",
        "kern.hostid": "0",
        "kern.hostuuid": "00000000-0000-0000-0000-000000000000",
        "hw.realmem": "1073741824",
        "kern.osreldate": "1400063",
        "kern.osrelease": version(m),
        "kern.ostype": "FreeBSD",
        "kern.hostname": m.hostname,
        "hw.machine": "amd64",
        "hw.machine_arch": "amd64",
        "kern.geom.debugflags": "0",
        "vfs.zfs.min_auto_ashift": "9",
        "hw.model": "QEMU TCG CPU version 2.5+",
        "kern.securelevel": "-1",
        "kern.geom.label.gptid.enable": "0",
    } | m.sysctls


@tool("kenv", "/bin")
def kenv(call: Call) -> str:
    """kenv(1)."""
    found, names = flags(call.args)
    if not names:
        return "".join(f'{k}="{v}"\n' for k, v in sorted(call.machine.kenv.items()))
    name, sign, value = names[0].partition("=")
    if sign:
        call.machine.kenv[name] = value.strip('"')
        return f'{name}="{call.machine.kenv[name]}"\n'
    if name not in call.machine.kenv:
        raise Fail("" if "q" in found else f"kenv: unable to get {name}\n", 255)
    return f"{call.machine.kenv[name]}\n"


@tool("kldstat", "/sbin")
def kldstat(call: Call) -> str:
    """kldstat(8)."""
    found, _ = flags(call.args, "min")
    modules = call.machine.modules
    if "m" in found or "n" in found:
        wanted = found.get("m", found.get("n", ""))
        if "m" in found:
            # The class in geom_eli.ko calls itself by another name than its file.
            wanted = {"g_eli": "geom_eli"}.get(wanted, wanted)
        if wanted.removesuffix(".ko") not in modules:
            quiet = "q" in found
            raise Fail(
                "" if quiet else f"kldstat: can't find module {wanted}: No such file or directory\n"
            )
        if "q" in found:
            return ""
        return f"Id  Refs Name\n{MODULE_IDS.get(wanted, 100):3d}    1 {wanted}\n"
    text = "Id Refs Address                Size Name\n"
    for number, name in enumerate(["kernel", *[m for m in modules if m != "kernel"]], 1):
        address, size = KMODS.get(name, (0xFFFFFFFF81700000, 0x4000))
        refs = 2 * len(modules) + 3 if name == "kernel" else 2 if name == "zlib" else 1
        shown = name if name == "kernel" else f"{name}.ko"
        text += f"{number:2d} {refs:4d} {address:#018x} {size:8x} {shown}\n"
    return text


@tool("kldload", "/sbin")
def kldload(call: Call) -> str:
    """kldload(8); without -n a loaded module is an error."""
    found, names = flags(call.args)
    for name in names:
        module = name.removesuffix(".ko").rpartition("/")[2]
        if module in call.machine.modules:
            if "n" not in found:
                raise Fail(f"kldload: can't load {name}: module already loaded or in kernel\n")
        elif module in KMODS:
            call.machine.load(module)
        else:
            raise Fail(f"kldload: can't load {name}: No such file or directory\n")
    return ""


@tool("kldunload", "/sbin")
def kldunload(call: Call) -> str:
    """kldunload(8)."""
    _, names = flags(call.args)
    for name in names:
        if name not in call.machine.modules:
            raise Fail(f"kldunload: can't find file {name}\n")
        if name == "zfs" and call.machine.pools:
            raise Fail("kldunload: can't unload file: Device busy\n")
        call.machine.modules.remove(name)
    return ""


@tool("swapinfo", "/usr/sbin")
def swapinfo(call: Call) -> str:
    """swapinfo(8)."""
    text = "Device          1K-blocks     Used    Avail Capacity\n"
    total = 0
    for name in call.machine.swaps:
        where = call.machine.place(name)
        size = where.size // 1024 if where else 0
        total += size
        text += f"{name:<15s} {size:9d} {0:8d} {size:8d} {0:5.0f}%\n"
    if len(call.machine.swaps) > 1:
        text += f"{'Total':<15s} {total:9d} {0:8d} {total:8d} {0:5.0f}%\n"
    return text


@tool("swapon", "/sbin")
def swapon(call: Call) -> str:
    """swapon(8)."""
    name = call.args[-1] if call.args else ""
    if call.machine.place(name) is None:
        raise Fail(f"swapon: {name}: No such file or directory\n")
    if name in call.machine.swaps:
        raise Fail(f"swapon: {name}: Device already in use\n")
    call.machine.swaps.append(name)
    return ""


@tool("swapoff", "/sbin")
def swapoff(call: Call) -> str:
    """swapoff(8)."""
    name = call.args[-1] if call.args else ""
    if name not in call.machine.swaps:
        raise Fail(f"swapoff: {name}: Invalid argument\n")
    call.machine.swaps.remove(name)
    return ""


def _tabs(text: str) -> str:
    """mount -p pads its columns with tabs to three stops."""
    return text + "\t" * max(1, 3 - len(text) // 8)


@tool("mount", "/sbin")
def mount(call: Call) -> str:
    """mount(8): the table, -p, and msdosfs."""
    found, names = flags(call.args, "to")
    if names:
        return _mount_new(call, found, names)
    if "p" in found:
        return "".join(
            _tabs(m.special)
            + _tabs(m.path)
            + f"{m.kind}\t{m.options}"
            + ("\t\t" if m.kind != "zfs" else " \t")
            + "0 0\n"
            for m in call.machine.mounts
        )
    text = ""
    for m in call.machine.mounts:
        words = [m.kind] + ([m.listed] if m.listed else ["local"] if m.kind != "devfs" else [])
        if m.kind == "zfs":
            words = [
                "zfs",
                "local",
                *(o for o in ("noatime", "noexec", "nosuid") if o in m.options.split(",")),
                *(["read-only"] if m.options.startswith("ro") else []),
                "nfsv4acls",
            ]
        text += f"{m.special} on {m.path} ({', '.join(words)})\n"
    return text


def _mount_new(call: Call, found: dict[str, str], names: list[str]) -> str:
    from zrwizard.rehearsal.cmd_disk import mount_fat  # noqa: PLC0415 - both ways
    from zrwizard.rehearsal.zfsmount import mount_zfs  # noqa: PLC0415 - the same

    kind = found.get("t", "ufs")
    if len(names) < 2:
        raise Fail(f"mount: {names[0]}: unknown special file or file system\n")
    if kind == "zfs":
        return mount_zfs(call, names, found.get("o", ""), read_only="r" in found)
    if kind != "msdosfs":
        raise Fail(f"mount: {names[0]}: Operation not supported by device\n")
    mount_fat(
        call,
        names[0],
        call.path(names[1]),
        read_only="r" in found or "ro" in found.get("o", "").split(","),
    )
    return ""


@tool("df", "/bin")
def df(call: Call) -> str:
    """df -k."""
    _, names = flags(call.args, "t")
    m = call.machine
    mounts = m.mounts
    if names:
        mounts = []
        for name in names:
            path = call.path(name)
            if not call.exists(name):
                raise Fail(f"df: {name}: No such file or directory\n")
            best = max(
                (x for x in m.mounts if x.path in ("/", path) or path.startswith(x.path + "/")),
                key=lambda x: len(x.path),
            )
            mounts.append(best)
    rows = [(x.special, *_space(m, x.special, x.kind, x.path), x.path) for x in mounts]
    wide = max([10, *(len(r[0]) for r in rows)])
    columns = [
        max(len(h), *(len(str(r[i])) for r in rows))
        for i, h in ((1, "1024-blocks"), (2, "Used"), (3, "Avail"))
    ]
    text = (
        f"{'Filesystem':<{wide}s} {'1024-blocks':>{columns[0]}s} {'Used':>{columns[1]}s} "
        f"{'Avail':>{columns[2]}s} Capacity  Mounted on\n"
    )
    for special, size, used, avail, path in rows:
        full = 100 * used / (used + avail) if used + avail else 0
        text += (
            f"{special:<{wide}s} {size:>{columns[0]}d} {used:>{columns[1]}d} "
            f"{avail:>{columns[2]}d}  {full:5.0f}%    {path}\n"
        )
    return text


def _space(m: Machine, special: str, kind: str, path: str) -> tuple[int, int, int]:
    if kind == "cd9660":
        return 104428, 104428, 0
    if kind == "devfs":
        return 1, 1, 0
    if kind == "msdosfs":
        where = m.place(special)
        size = (where.size // 1024 - 4111) if where else 0
        used = sum(-(-len(d) // 512) for d in m.gather(path).values() if d) // 2 + 1
        return size, used, size - used - 1
    if kind == "zfs" and (found := m.dataset(special)) is not None:
        pool, ds = found
        used, avail = referenced(pool, ds) // 1024, available(pool) // 1024
        return used + avail, used, avail
    if kind == "ufs":
        where = m.place(special)
        size = where.size // 1024 * 31 // 32 if where else 0
        return size, 2_411_524, size * 92 // 100 - 2_411_524
    size = m.tmp_size // 1024 if path == "/tmp" else 32768  # noqa: S108 - the simulated machine's
    if not size:
        return 65536, 65536, 0
    used = 8 + sum(-(-len(d) // 1024) for d in m.gather(path).values() if d)
    return size, used, size - used


@tool("conscontrol", "/sbin")
def conscontrol(call: Call) -> str:
    """conscontrol(8)."""
    if call.args[:1] == ["mute"] and call.args[1:]:
        call.machine.sysctls["kern.consmute"] = "1" if call.args[1] == "on" else "0"
    muted = call.machine.sysctls.get("kern.consmute", "0") != "0"
    return (
        "Configured: ttyu0,ttyv0\n Available: sc_consdev,ttyu0,ttyv0\n"
        f"    Muting: {'on' if muted else 'off'}\n"
    )


@tool("dmesg", "/sbin")
def dmesg(call: Call) -> str:
    """dmesg(8), the first line of the kernel."""
    return f"{call.machine.kernel_id}\n"


@tool("date", "/bin")
def date(call: Call) -> str:
    """date(1): now, with a format."""
    m = call.machine
    now = m.clock.utc(m.now())
    form = next((a[1:] for a in call.args if a.startswith("+")), "")
    if not form:
        return f"{m.clock.ctime(m.now())[:-4]}UTC {now.year}\n"
    return (
        now.strftime(
            form.replace("%F", "%Y-%m-%d")
            .replace("%T", "%H:%M:%S")
            .replace("%s", str(int(m.now())))
        )
        + "\n"
    )


@tool("camcontrol", "/sbin")
def camcontrol(call: Call) -> str:
    """camcontrol devlist."""
    if call.args[:1] != ["devlist"]:
        raise Fail("camcontrol: devlist is what the rehearsal knows\n", 1)
    rows: list[Disk] = sorted((d for d in call.machine.disks if d.vendor), key=lambda d: d.bus)
    return "".join(
        f"<{d.vendor + '>':<33s} at scbus{d.bus} target 0 lun 0 (pass{i},{d.name})\n"
        for i, d in enumerate(rows)
    )
