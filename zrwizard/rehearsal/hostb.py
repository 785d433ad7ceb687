"""The backup server: what hostB's pools hold when a rehearsal begins."""

from __future__ import annotations

import random

from zrwizard.rehearsal.clock import Clock
from zrwizard.rehearsal.hardware import Disk, Nic
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.medium import host_tree, moved
from zrwizard.rehearsal.scenario import Scenario
from zrwizard.rehearsal.sshstate import Door, key_blob
from zrwizard.rehearsal.zfsprops import features_of
from zrwizard.rehearsal.zfsstate import Dataset, Pool, Snapshot, referenced, usable_size

KIB, MIB = 1024, 1 << 20
DEEP = "2025-08-08-deep"
DEEP_TIME = 1754655420
NEWER = "2025-08-15"
NEWER_TIME = 1755260220
BE_CLONE = "2025-08-08-14:30:56-0"

# rel, mountpoint (empty: inherited), bulk bytes, further properties
LAYOUT: tuple[tuple[str, str, int, dict[str, str]], ...] = (
    ("", "/zroot", 0, {"compression": "lz4", "atime": "off"}),
    ("ROOT", "none", 0, {}),
    ("ROOT/default", "/", 958 * MIB, {"canmount": "noauto"}),
    ("ROOT/2025-08-08-deep", "/", 958 * MIB, {"canmount": "noauto"}),
    ("home", "/home", 0, {}),
    ("home/han", "", 32 * KIB, {}),
    ("home/jpb", "", 32 * KIB, {"org.example:owner": "Jim Brown"}),
    ("home/luke", "", 36 * KIB, {}),
    ("tmp", "/tmp", 0, {"exec": "on", "setuid": "off"}),  # noqa: S108
    ("usr", "/usr", 0, {"canmount": "off"}),
    ("usr/ports", "", 0, {"setuid": "off"}),
    ("usr/src", "", 0, {}),
    ("var", "/var", 0, {"canmount": "off"}),
    ("var/audit", "", 0, {"exec": "off", "setuid": "off"}),
    ("var/crash", "", 0, {"exec": "off", "setuid": "off"}),
    ("var/log", "", 56 * KIB, {"exec": "off", "setuid": "off"}),
    ("var/mail", "", 16 * KIB, {"atime": "on"}),
    ("var/tmp", "", 8 * KIB, {"setuid": "off"}),
)
MISSING_IN_NEWER = "var/log"


def make_server(scenario: Scenario, clock: Clock, rng: random.Random) -> Machine:
    """hostB with its pools and its sshd."""
    big = 6 if scenario.recorded_machine else 32
    disks = [Disk("vtbd0", 8 << 30, "HOSTB0001"), Disk("vtbd1", big << 30, "HOSTB0002")]
    address = scenario.server_address
    nic = Nic("em0", "02:49:be:ad:ba:dd", up=True, address=address)
    kinds = ("ssh-rsa", "ecdsa-sha2-nistp256", "ssh-ed25519")
    door = Door(
        "hostB",
        (address, "hostB", "hostb", "hostB.example.org"),
        (scenario.server_port,),
        {k: key_blob(k, rng) for k in kinds},
        {"root": scenario.password},
        password_login=scenario.password_login,
        refused=scenario.port_refused,
    )
    machine = Machine(
        "hostB", clock, rng, disks, [nic], hostname="hostB", home="/root", live=False, door=door
    )
    machine.load("zfs")
    machine.sysctls |= {"kern.hostid": "1261424515", "machdep.bootmethod": "BIOS"}
    zroot = _pool("zroot", "vtbd0p4", disks[0], rng, clock)
    _add(zroot, "", 0, {"mountpoint": "/zroot"}, rng=rng, created=1700000000)
    _add(zroot, "ROOT", 0, {"mountpoint": "none"}, rng=rng, created=1700000001)
    _add(zroot, "ROOT/default", 890 * MIB, {"mountpoint": "/"}, rng=rng, created=1700000002)
    machine.pools["zroot"] = zroot
    if scenario.recorded_machine:
        tank = _pool("tank", "vtbd1", disks[1], rng, clock)
        tank.ashift = 9
        _add(tank, "", 0, {"mountpoint": "none"}, rng=rng, created=1795294300)
        _add(tank, "h", 20 * MIB, {"mountpoint": "/tank/h"}, rng=rng, created=1795294301)
        for ds in tank.ordered():
            _snap(tank, ds, "s", 1795294305, rng)
        machine.pools = {"tank": tank}
    elif scenario.pool_on_server:
        machine.pools["hostA"] = host_pool(scenario, disks[1], rng, clock)
    for pool in machine.pools.values():
        pool.active_on = machine.name
    return machine


def _pool(name: str, device: str, disk: Disk, rng: random.Random, clock: Clock) -> Pool:
    size = disk.size
    return Pool(
        name,
        rng.getrandbits(63),
        device,
        disk.name,
        1 << 20,
        usable_size(size - MIB),
        12,
        features=features_of("off"),
        last_host="hostB",
        last_access=clock.now(),
    )


def _add(
    pool: Pool, rel: str, bulk: int, props: dict[str, str], *, rng: random.Random, created: int
) -> Dataset:
    ds = Dataset(
        rel, rng.getrandbits(63), pool.next_txg(), created, received=dict(props), bulk=bulk
    )
    pool.datasets[rel] = ds
    return ds


def host_pool(scenario: Scenario, disk: Disk, rng: random.Random, clock: Clock) -> Pool:
    """The pool `hostA`: a whole root-on-ZFS host, received with its snapshots."""
    pool = _pool("hostA", "vtbd1p1", disk, rng, clock)
    for number, (rel, where, bulk, props) in enumerate(LAYOUT):
        own = ({"mountpoint": where} if where else {}) | props
        more = scenario.homes if rel.startswith("home/") else 0
        ds = _add(pool, rel, bulk + more, own, rng=rng, created=1751000000 + number)
        if rel.startswith("ROOT/"):
            files = host_tree("hostA", extra=f"Welcome to {rel.rpartition('/')[2]}.\n")
            ds.files = moved(files) if scenario.moved else files
    default = pool.datasets["ROOT/default"]
    deep = pool.datasets["ROOT/2025-08-08-deep"]
    deep.origin = f"hostA/ROOT/default@{BE_CLONE}"
    deep.creation = DEEP_TIME - 60
    pool.datasets["home/jpb"].files = {
        "notes.txt": b"The MAC address should be adjusted.\n",
        "src": None,
        "src/main.c": b"int main(void){return 0;}\n",
    }
    _snap(pool, default, BE_CLONE, DEEP_TIME - 60, rng)
    for ds in pool.ordered():
        if not (scenario.every_snapshot_incomplete and ds.rel == MISSING_IN_NEWER):
            _snap(pool, ds, DEEP, DEEP_TIME, rng)
    pool.datasets["var/log"].bulk += 60 * KIB
    default.bulk += 3 * MIB
    for ds in pool.ordered():
        if not (scenario.newest_incomplete and ds.rel == MISSING_IN_NEWER):
            _snap(pool, ds, NEWER, NEWER_TIME, rng)
    return pool


def _snap(pool: Pool, ds: Dataset, name: str, when: int, rng: random.Random) -> Snapshot:
    first = not ds.snapshots and not ds.origin
    before = ds.snapshots[-1].bulk if ds.snapshots else ds.bulk if ds.origin else 0
    fresh = max(0, ds.bulk - before) + (
        sum(map(len, filter(None, ds.files.values()))) if first else 0
    )
    snap = Snapshot(
        name,
        rng.getrandbits(63),
        pool.next_txg(),
        when,
        referenced(pool, ds),
        0,
        dict(ds.files),
        ds.bulk,
        fresh,
    )
    ds.snapshots.append(snap)
    return snap
