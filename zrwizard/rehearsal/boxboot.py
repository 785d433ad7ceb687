"""A restart of the box: what its own files make of it, and what was in memory is gone."""

from __future__ import annotations

from zrwizard.rehearsal.cmd_service import PROGRAMS, value
from zrwizard.rehearsal.daemonfiles import place, read, remove
from zrwizard.rehearsal.door import CONFIGS
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.geli import Keys, attach, make
from zrwizard.rehearsal.machine import Machine, Mount, new_files
from zrwizard.rehearsal.poolimport import activate, labelled
from zrwizard.rehearsal.sshdstate import MAIN, Sshd

LOCAL = "/usr/local/etc/rc.d/zrwizard"
ALWAYS = ("syslogd", "cron")
SWITCHED = ("ntpd", "powerd", "sendmail")


def restart(m: Machine) -> None:
    """Everything that runs ends; then the files on the root file system say what comes up."""
    if m.space is not None:
        m.space.sync()
    for task in list(m.detached):
        task.cancel()
    for pool in m.pools.values():
        pool.active_on, pool.altroot = "", ""
        pool.props.pop("cachefile", None)
        for ds in pool.datasets.values():
            ds.mounted_at, ds.busy, ds.pending = "", False, 0
    for held in (m.pools, m.processes, m.masters, m.fifos, m.listening, m.holds, m.promises):
        held.clear()
    for many in (m.attached, m.sshds, m.swaps):
        many.clear()
    m.modules[:] = ["kernel"]
    m.sysctls.pop("kern.consmute", None)
    m.going_down = ""
    m.down.clear()
    if m.tty is not None:
        m.tty.rows = m.tty.cols = 0
    m.booted = m.clock.now()
    _mount(m)
    m.nodes.clear()
    m.refresh_nodes()
    _start(m)


def _lines(m: Machine, path: str) -> list[list[str]]:
    """The words of a file's lines, comments left out."""
    text = (read(m, path) or b"").decode("utf-8", "replace")
    return [row.split() for row in text.splitlines() if row.strip() and not row.startswith("#")]


def _mount(m: Machine) -> None:
    """What fstab asks for: the root, file systems in memory, swap."""
    rows = [row for row in _lines(m, "/etc/fstab") if len(row) >= 4]
    for point in [p for p in m.files if p != "/"]:
        del m.files[point]
    m.files["/tmp"] = new_files()  # noqa: S108 - the simulated machine's
    root = next((row for row in rows if row[1] == "/"), None)
    special = next(iter(m.ufs))
    if root is None or root[0] != special or root[2] != "ufs":
        m.accident("the box did not come up again: its fstab has no root file system")
    options = root[3].split(",") if root is not None else ["ro"]
    (m.read_only.add if options[0] == "ro" else m.read_only.discard)("/")
    listed = [
        o
        for o in ("noatime", "read-only")
        if o in options or (o, options[0]) == ("read-only", "ro")
    ]
    m.mounts = [
        Mount(special, "/", "ufs", ",".join(options), ", ".join(["local", *listed])),
        Mount("devfs", "/dev", "devfs", "rw"),
        Mount("tmpfs", "/tmp", "tmpfs", "rw", "local"),  # noqa: S108
    ]
    for _, point, kind, *_ in rows:
        if kind == "tmpfs" and point != "/tmp":  # noqa: S108
            m.files[point] = new_files()
            m.mounts.append(Mount("tmpfs", point, "tmpfs", "rw", "local"))
    for name in (row[0] for row in rows if row[2] == "swap"):
        _swap(m, name)


def _swap(m: Machine, name: str) -> None:
    """Swap, under a geli key that nobody ever knows where the name asks for it."""
    where = m.place(name.removesuffix(".eli"))
    if where is None:
        m.accident(f"the box has no swap: there is no {name}")
        return
    if name.endswith(".eli"):
        key = Keys(m.rng.randbytes(64))
        made = make(m.rng, where, sector=4096, keylen=128, flags=0, key=key)
        attach(m, where, 0, on_close=True, read_only=False)
        where.content.geli = None  # such a key leaves no metadata
        made.inner.rate = where.disk.rate
    m.swaps.append(name)


def _start(m: Machine) -> None:
    """What rc(8) starts, as rc.conf says."""
    for name in ("sshd.pid", "sshd-zrwizard-knox.pid", "sshd-zrwizard-knox-trial.pid"):
        remove(m, f"/var/run/{name}")
    for name in (*ALWAYS, *(n for n in SWITCHED if _on(m, f"{n}_enable"))):
        m.new_process(PROGRAMS[name])
    for port, command in m.foreign_ports.items():
        m.listening[port] = m.new_process(f"{command}: {port}").pid
    if _on(m, "sshd_enable"):
        _sshd(m, MAIN)
    script = place(m, LOCAL)
    if _on(m, "zrwizard_enable") and script is not None and script.node.mode & 0o100:
        _plain(m)


def _on(m: Machine, name: str) -> bool:
    return value(m, name).upper() in ("YES", "TRUE", "ON", "1")


def _sshd(m: Machine, path: str) -> None:
    try:
        Sshd.start(m, path, ())
    except Fail as refusal:
        m.kernel(*refusal.err.splitlines())


def _plain(m: Machine) -> None:
    """Our own rc script: the extra sshd of each plain server, and its pool without mounting."""
    folder = place(m, CONFIGS)
    names = sorted(folder.tree.entries[folder.node.number]) if folder is not None else []
    for name in (n.decode().removesuffix(".conf") for n in names if n.endswith(b".conf")):
        words = dict(row[0].partition("=")[::2] for row in _lines(m, f"{CONFIGS}/{name}.conf"))
        if words.get("shape") != "plain":
            continue
        path = f"/etc/ssh/zrwizard/{name}/sshd_config"
        if read(m, path) is not None:
            _sshd(m, path)
        for _, pool in labelled(m):
            if pool.name == words.get("pool") and not pool.active_on:
                activate(m, pool)
