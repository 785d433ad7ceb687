"""Is the simulated machine a good backup server now? Sentences for all that is missing."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

from zrwizard.rehearsal.daemonfiles import place, read
from zrwizard.rehearsal.door import CONFIGS, installed
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.geli import Keys, metadata
from zrwizard.rehearsal.hardware import Disk
from zrwizard.rehearsal.machine import Machine, Where
from zrwizard.rehearsal.sshdconfig import read as read_config
from zrwizard.rehearsal.sshdconfig import release
from zrwizard.rehearsal.sshdstate import MAIN, Sshd
from zrwizard.rehearsal.zfsstate import lookup

EDITED = ("/etc/rc.conf", "/etc/fstab", "/boot/loader.conf", "/etc/ttys", "/etc/crontab")
KEPT = (
    "geli.key",
    "geli.metadata",
    "ca",
    "ca.pub",
    "login",
    "deliver",
    "receive",
    "host.pub",
    "known_hosts",
    "ssh_config",
    "escrow.age",
    "escrow.tar.enc",
    "sheet.txt",
)
"""What the operator's directory must hold in the end."""
PLAIN_LEAVES = frozenset(("geli.key", "geli.metadata"))
_SECRET_RUN = re.compile(rb"[0-9a-f]{64,}")


def would_serve(m: Machine, directory: Path, serial: str, before: dict[str, bytes]) -> list[str]:
    """What is missing for a good server, worst first; `before` are the system's files at first."""
    if m.space is not None:
        m.space.sync()
    try:
        record = json.loads((directory / "keyring.json").read_bytes())
    except (OSError, ValueError):
        return [f"{directory} holds no keyring.", *_leaks(m, directory)]
    shape, pool = str(record.get("shape", "")), str(record.get("pool", ""))
    vault = shape == "vault"
    return [
        *_leaks(m, directory),
        *_trap(m),
        *_disk(m, directory, serial, pool, vault=vault),
        *_access(m, int(record.get("port", 0)), vault=vault),
        *_receiver(m, directory.name, record, serial),
        *_system(m, before),
        *_own(directory, vault=vault),
    ]


# --- the key is nowhere ---------------------------------------------------------------------------


def _leaks(m: Machine, directory: Path) -> Iterator[str]:
    """The geli key's text, its bytes, or its text in base64: in files, on disks, among arguments.

    Of arguments those are known that simulated programs have had: not those of the few that the
    virtual shell brings itself (grep, sed and the like).
    """
    try:
        key = (directory / "geli.key").read_bytes().strip()
    except OSError:
        return
    if not key:
        return
    forms = _forms(key)
    for path, data in _files(m):
        if any(form in data for form in forms):
            yield f"The disk's key is in {path} on the server."
    for disk in (*m.disks, *(a.geli.inner for a in m.attached)):
        for offset, content in disk.contents.items():
            data = content.head + (content.geli.block() if content.geli else b"")
            if any(form in data for form in forms):
                yield f"The disk's key stands on {disk.name} at byte {offset}."
    for command in m.long_commands:
        if any(form in command.encode("utf-8", "surrogateescape") for form in forms):
            yield "The disk's key was among the arguments of a process."
            break
    for name, value in m.kenv.items():
        if any(form in value.encode() for form in forms):
            yield f"The disk's key is in the kernel's environment ({name})."


def _forms(key: bytes) -> list[bytes]:
    """How a key could be written down: as it is, as bytes, in base64 at each of three offsets."""
    forms = [key, key.upper()]
    if _SECRET_RUN.fullmatch(key):
        forms.append(bytes.fromhex(key.decode()))
    for shift in range(3):
        # The ends of such a text depend on what stands beside it.
        text = base64.b64encode(bytes(shift) + key)
        forms.append(text[4 : len(text) // 4 * 4 - 8])
    return forms


def _files(m: Machine) -> Iterator[tuple[str, bytes]]:
    """Every file of the machine with its contents: of its disks, and of its memory disks."""
    for ufs in m.ufs.values():
        if ufs.tree is not None:
            for path, node in ufs.tree.walk():
                if node.kind in "F@":
                    yield path.decode("utf-8", "replace"), node.read()
    for point, files in m.files.items():
        waiting = ["/"]
        while waiting:
            at = waiting.pop()
            for entry in files.read_dir(at):
                name = f"{at.rstrip('/')}/{entry['name']}"
                kind = entry["metadata"]["file_type"]
                if kind == "directory":
                    waiting.append(name)
                elif kind == "file" and name != "/dev/tty":
                    yield f"{point.rstrip('/')}{name}", bytes(files.read_file(name))
    for pool in m.pools.values():
        for ds in pool.datasets.values():
            for rel, data in ds.files.items():
                yield f"{pool.full(ds)}:{rel}", data or b""


# --- disks ----------------------------------------------------------------------------------------


def _trap(m: Machine) -> Iterator[str]:
    for disk in m.disks:
        if disk.other_owner and disk.writes:
            yield f"{disk.name} ({disk.serial}), which is somebody else's, was written to."


def _disk(m: Machine, directory: Path, serial: str, pool: str, *, vault: bool) -> Iterator[str]:
    disk = next((d for d in m.disks if d.serial == serial), None)
    if disk is None:
        yield f"The disk {serial} is not there."
        return
    if vault:
        yield from _vault(m, directory, disk, pool)
    else:
        yield from _plain(m, disk, pool)


def _places(m: Machine, disk: Disk) -> list[Where]:
    return [w for w in m.places() if w.disk is disk]


def _vault(m: Machine, directory: Path, disk: Disk, pool: str) -> Iterator[str]:
    for made in m.attached:
        if made.disk is disk:
            yield f"{made.name} is still attached."
    found = [g for w in _places(m, disk) if (g := metadata(w)) is not None]
    if not found:
        yield f"{disk.name} carries no geli metadata."
        return
    geli = found[0]
    try:
        key = (directory / "geli.key").read_bytes()
        saved = (directory / "geli.metadata").read_bytes()
    except OSError:
        key = saved = b""
    if geli.opens(Keys(key).joined()) is None:
        yield f"The key in {directory} does not open {disk.name}."
    if geli.keylen != 256 or geli.sector != 4096:
        yield f"{disk.name} is encrypted with {geli.keylen} bits in sectors of {geli.sector} bytes."
    if saved != geli.block():
        yield f"The geli metadata in {directory} are not those of {disk.name}."
    inside = [c.pool for c in geli.inner.contents.values() if c.pool is not None]
    if not inside:
        yield f"There is no pool inside {disk.name}."
        return
    if pool and inside[0].name != pool:
        yield f"The pool inside {disk.name} is called {inside[0].name}, not {pool}."
    if not inside[0].exported or inside[0].active_on:
        yield f"The pool {inside[0].name} was not exported."
    for key_, wanted in (("atime", "off"), ("compression", "lz4"), ("mountpoint", "none")):
        if lookup(inside[0], inside[0].datasets[""], key_)[0] != wanted:
            yield f"The pool {inside[0].name} has not {key_}={wanted}."


def _plain(m: Machine, disk: Disk, pool: str) -> Iterator[str]:
    if not any(p.name == pool and p.disk == disk.name for p in m.pools.values()):
        on_disk = [c.pool for c in disk.contents.values() if c.pool is not None]
        if not any(p.name == pool for p in on_disk):
            yield f"There is no pool called {pool} on {disk.name}."
        else:
            yield f"The pool {pool} is not imported."
    if disk.table is None:
        yield f"{disk.name} has no GUID partition table."


# --- ways in --------------------------------------------------------------------------------------


def _access(m: Machine, port: int, *, vault: bool) -> Iterator[str]:
    sshd = next((s for s in m.sshds if port in s.ports), None)
    if sshd is None:
        yield f"No sshd listens on port {port}."
        return
    others = [s for s in m.sshds if s is not sshd]
    if vault and others:
        yield (
            "Another sshd still listens on port "
            + ", ".join(str(p) for s in others for p in s.ports)
            + "."
        )
    yield from _strict(m, sshd)
    if vault and (sshd.path != MAIN or not _same_as_file(m, sshd)):
        yield f"The sshd on port {port} does not run with {MAIN} as it is now."
    if sshd.certificate(m) is None:
        yield "The sshd shows no host certificate."


def _same_as_file(m: Machine, sshd: Sshd) -> bool:
    text = (read(m, sshd.path) or b"").decode("utf-8", "replace")
    try:
        now = read_config(text, sshd.path, release(m.openssh))
    except Fail:
        return False
    return all(sshd.config.values.get(key) == values for key, values in now.values.items())


def _strict(m: Machine, sshd: Sshd) -> Iterator[str]:
    config = sshd.config
    for key in ("passwordauthentication", "kbdinteractiveauthentication", "x11forwarding"):
        if config.yes(key):
            yield f"The sshd has {key} switched on."
    if config.one("permitrootlogin") not in ("prohibit-password", "without-password"):
        yield f"The sshd has PermitRootLogin {config.one('permitrootlogin')}."
    if config.one("trustedusercakeys") == "none":
        yield "The sshd asks for no certificates."
    if config.one("authorizedkeysfile") != "none":
        yield "The sshd takes keys from authorized_keys files, too."
    if config.one("allowtcpforwarding") != "no" and not config.yes("disableforwarding"):
        yield "The sshd forwards ports."
    if not config.all("allowusers"):
        yield "The sshd lets any user in."
    if config.yes("usedns"):
        yield "The sshd asks the DNS about its clients."
    for key in ("trustedusercakeys", "revokedkeys"):
        path = config.one(key)
        found = place(m, path) if path != "none" else None
        if found is None:
            yield f"The sshd's {key} file is not there."
        elif found.node.uid != 0 or found.node.mode & 0o022:
            yield f"{path} can be changed by others than root."


def _receiver(m: Machine, name: str, record: dict[str, object], serial: str) -> Iterator[str]:
    if problem := installed(m):
        yield problem
    path = f"{CONFIGS}/{name}.conf"
    found = place(m, path)
    if found is None:
        yield f"{path} is not there."
        return
    if found.node.uid != 0 or found.node.mode & 0o022:
        yield f"{path} can be changed by others than root."
    rows = dict(
        row.partition("=")[::2] for row in found.node.read().decode("utf-8", "replace").splitlines()
    )
    for key, wanted in (("pool", record.get("pool")), ("serial", serial)):
        if rows.get(key) != wanted:
            yield f"{path} says {key}={rows.get(key)}, not {wanted}."
    if rows.get("shape") != record.get("shape"):
        yield f"{path} is for a {rows.get('shape')} server."


# --- the system and the operator's own ------------------------------------------------------------


def _system(m: Machine, before: dict[str, bytes]) -> Iterator[str]:
    """Files still parse, and each that changed has its old text beside it."""
    for path, old in before.items():
        now = read(m, path)
        if now is None:
            yield f"{path} is gone."
            continue
        if now != old and not _kept(m, path, old):
            yield f"The old {path} was not kept."
    yield from _rc_conf((read(m, "/etc/rc.conf") or b"").decode("utf-8", "replace"))
    for row in (read(m, "/etc/fstab") or b"").decode("utf-8", "replace").splitlines():
        words = row.split()
        if words and not words[0].startswith("#") and len(words) not in (4, 5, 6):
            yield f"A line of /etc/fstab has {len(words)} words: {row}"
    roots = [
        r.split()
        for r in (read(m, "/etc/fstab") or b"").decode("utf-8", "replace").splitlines()
        if len(r.split()) > 2 and r.split()[1] == "/" and not r.startswith("#")
    ]
    if len(roots) != 1 or roots[0][0] != "/dev/ada0p2":
        yield "/etc/fstab does not mount the root file system."


def _rc_conf(text: str) -> Iterator[str]:
    for number, row in enumerate(text.splitlines(), 1):
        if not re.fullmatch(
            r"\s*(#.*)?|[A-Za-z_]\w*=(\"[^\"`$]*\"|'[^']*'|[\w.,:/-]*)\s*(#.*)?", row
        ):
            yield f"Line {number} of /etc/rc.conf is no assignment: {row}"
    if not re.search(r'^sshd_enable="?YES', text, re.MULTILINE):
        yield "/etc/rc.conf does not start sshd."


def _kept(m: Machine, path: str, old: bytes) -> bool:
    """Is the old text in a file beside the new one?"""
    found = place(m, path.rpartition("/")[0] or "/")
    if found is None:
        return False
    name = path.rpartition("/")[2].encode()
    for inner, number in found.tree.entries.get(found.node.number, {}).items():
        node = found.tree.nodes[number]
        if inner != name and inner.startswith(name) and node.kind == "F" and node.read() == old:
            return True
    return False


def _own(directory: Path, *, vault: bool) -> Iterator[str]:
    for name in KEPT:
        if not vault and name in PLAIN_LEAVES:
            continue
        try:
            there = (directory / name).stat()
        except OSError:
            yield f"{name} is missing in {directory}."
            continue
        if there.st_mode & 0o077:
            yield f"{name} in {directory} can be read by others."
        if not there.st_size:
            yield f"{name} in {directory} is empty."
    yield from _sheet(directory)


def _sheet(directory: Path) -> Iterator[str]:
    """The sheet is printed and laid into a drawer: no secret may stand on it."""
    try:
        text = (directory / "sheet.txt").read_bytes()
        key = (directory / "geli.key").read_bytes().strip()
    except OSError:
        return
    if key and key in text:
        yield "The disk's key stands on the sheet."
    if b"PRIVATE KEY" in text:
        yield "A private key stands on the sheet."


def system_files(m: Machine) -> dict[str, bytes]:
    """The files that a set-up may change, as they are now."""
    paths = (*EDITED, "/etc/sysctl.conf", MAIN)
    return {path: data for path in paths if (data := read(m, path)) is not None}
