"""zpool(8): lists, status, import candidates and complaints."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zrwizard.freebsd import ParseError, compatibility, zpool, zpool_errors, zpool_import

Recorded = Callable[..., str]

STATUS = """\
  pool: tank
 state: DEGRADED
status: One or more devices has experienced an unrecoverable error.  An
\tattempt was made to correct the error.
action: Determine if the device needs to be replaced.
   see: https://openzfs.github.io/openzfs-docs/msg/ZFS-8000-9P
  scan: scrub in progress since Sat Nov 21 20:49:32 2026
\t1.20G / 3.00G scanned at 100M/s, 800M / 3.00G issued at 90M/s
\t0B repaired, 26.00% done, 00:00:10 to go
config:

\tNAME            STATE     READ WRITE CKSUM
\ttank            DEGRADED     0     0     0
\t  mirror-0      DEGRADED     0     0     0
\t    gpt/zfs0    ONLINE       0     0 1.20K
\t    spare-1     DEGRADED     0     0     0
\t      vtbd1p3   UNAVAIL      0     0     0  was /dev/vtbd1p3
\t      vtbd2     ONLINE       0     0     0  (resilvering)
\tlogs
\t  nda0p1        ONLINE       0     0     0  block size: 512B configured, 4096B native
\tspares
\t  vtbd2         INUSE     currently in use

errors: 2 data errors, use '-v' for a list

  pool: bak
 state: ONLINE
config:

\tNAME        STATE     READ WRITE CKSUM
\tbak         ONLINE       0     0     0
\t  da0.eli   ONLINE       0     0     0

errors: No known data errors
"""

IMPORT_13 = """\
   pool: zroot
     id: 2352375338539984716
  state: ONLINE
status: The pool was last accessed by another system.
 action: The pool can be imported using its name or numeric identifier and
\tthe '-f' flag.
   see: https://openzfs.github.io/openzfs-docs/msg/ZFS-8000-EY
 config:

\tzroot       ONLINE
\t  gpt/zfs0  ONLINE

   pool: data
     id: 16863817357442280871
  state: UNAVAIL
status: One or more devices are missing from the system.
 action: The pool cannot be imported. Attach the missing
\tdevices and try again.
 config:

\tdata          UNAVAIL  insufficient replicas
\t  mirror-0    UNAVAIL  insufficient replicas
\t    vtbd1p1   UNAVAIL  cannot open
\t    da0       ONLINE
\tlogs
\t  nda0p1      ONLINE

\tAdditional devices are known to be part of this pool, though their
\texact configuration cannot be determined.
"""

IMPORT_15 = """\
  pool: zroot
    id: 2352375338539984716
 state: ONLINE (DESTROYED)
action: The pool can be imported using its name or numeric identifier.
comment: zrwizard-0a1b it's odd
config:

\tzroot       ONLINE
\t  vtbd0p4   ONLINE
"""


def test_list(recorded: Recorded) -> None:
    assert zpool.parse_list(recorded("zpool list -Hp", 0)) == ()
    rows = "zroot\t3221225472\t115200\t3221110272\tONLINE\t/mnt\nsick\t-\t-\t-\tUNAVAIL\t-\n"
    first, second = zpool.parse_list(rows)
    assert first == zpool.Pool("zroot", 3221225472, 115200, 3221110272, "ONLINE", "/mnt")
    assert (second.size, second.altroot) == (None, None)
    with pytest.raises(ParseError, match="11 columns instead of 6"):
        zpool.parse_list(recorded("zpool list -Hp", 1))


def test_status_as_recorded(recorded: Recorded) -> None:
    assert zpool.parse_status(recorded("zpool status", 0)) == ()
    (pool,) = zpool.parse_status(recorded("zpool status -P zroot"))
    assert (pool.name, pool.state, pool.errors) == ("zroot", "ONLINE", "No known data errors")
    assert pool.members() == ("/dev/gpt/zfs0",)
    assert pool.scan == ()
    assert pool.healthy
    (scrubbed,) = zpool.parse_status(recorded("zpool scrub zroot; sleep 2; zpool status zroot"))
    assert scrubbed.scan == (
        "scrub repaired 0B in 00:00:00 with 0 errors on Sat Nov 21 20:49:32 2026",
    )


def test_status_of_several_pools_with_trouble() -> None:
    tank, bak = zpool.parse_status(STATUS)
    assert tank.members() == ("gpt/zfs0", "vtbd1p3", "vtbd2", "nda0p1", "vtbd2")
    assert bak.members() == ("da0.eli",)
    assert not tank.healthy
    assert tank.status.endswith("An attempt was made to correct the error.")
    assert len(tank.scan) == 3
    mirror = tank.vdevs[0].children[0]
    assert (mirror.name, len(mirror.children)) == ("mirror-0", 2)
    assert mirror.children[0].cksum == 1228
    assert mirror.children[1].children[0].note == "was /dev/vtbd1p3"
    assert [top.name for top in tank.vdevs] == ["tank", "logs", "spares"]
    assert tank.vdevs[1].state is None


def test_import_as_recorded(recorded: Recorded) -> None:
    assert zpool_import.parse(recorded("zpool import", 0)) == ()
    assert zpool_import.parse("no pools available to import\n") == ()
    (found,) = zpool_import.parse(recorded("zpool import", 1))
    assert (found.name, found.id, found.state) == ("bak", 16863817357442280871, "ONLINE")
    assert found.members() == ("gpt/bak",)
    assert found.importable
    assert not found.needs_force


def test_import_in_the_forms_of_13_and_15() -> None:
    zroot, data = zpool_import.parse(IMPORT_13)
    assert (zroot.needs_force, zroot.importable) == (True, True)
    assert (data.importable, data.state) == (False, "UNAVAIL")
    assert data.members() == ("vtbd1p1", "da0", "nda0p1")
    assert data.vdevs[0].note == "insufficient replicas"
    (late,) = zpool_import.parse(IMPORT_15)
    assert (late.comment, late.destroyed, late.state) == ("zrwizard-0a1b it's odd", True, "ONLINE")
    assert late.members() == ("vtbd0p4",)


@pytest.mark.parametrize("text", ["x", " state: ONLINE\n", "  pool: a\n", "  pool: a\nodd\n"])
def test_nonsense(text: str) -> None:
    with pytest.raises(ParseError):
        zpool.parse_status(text)
    with pytest.raises(ParseError):
        zpool_import.parse(text)


def test_value(recorded: Recorded) -> None:
    assert zpool.parse_value("zroot/ROOT/default\n") == "zroot/ROOT/default"
    assert zpool.parse_value("-\n") is None
    with pytest.raises(ParseError):
        zpool.parse_value(recorded("zpool list -Hp", 0))


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("zpool create -o altroot=/mnt -O mountpoint=/ zroot /dev/gpt/zfs0", "in a pool"),
        ("zpool set bootfs=zroot/ROOT/nosuch zroot", "no bootfs"),
        ("zpool export nosuch", "no pool"),
        ("zpool import nosuch", "not found"),
        ("zpool labelclear /dev/gpt/bak", "busy"),
        ("zpool create -O atime=off -O compression=lz4 wd vtbd1.eli", "read-only root"),
        ("zfs set mountpoint=/ zroot/ROOT/default", "pool busy"),
    ],
)
def test_recorded_complaints(recorded: Recorded, command: str, kind: str) -> None:
    nth = 1 if command.startswith("zpool create -o") else 0
    found = zpool_errors.explain(recorded(command, nth, "stderr"))
    assert found is not None
    assert found.kind == kind
    assert "{" not in found.what + found.now


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("use '-f' to override the following error:\n"
         '/dev/gpt/bak is a member of exported pool "bak"\n', "in a pool"),
        ('/dev/x is a member (ACTIVE) of pool "p"\n', "in a pool"),
        ("failed to open /dev/gpt/bak: No such file or directory\n", "no device"),
        ("failed to read label from /dev/vtbd0p1\n", "no labels"),
        ("failed to clear label for /dev/vtbd0p1\n", "no labels"),
        ("cannot open 'da9': no such device in /dev\nmust be a full path\n", "no device"),
        ("cannot create 'zroot': pool already exists\n", "pool exists"),
        ("cannot create 'z': one or more vdevs refer to the same device, or one of\n"
         "the devices is part of an active md or lvm device\n", "device in use"),
        ("cannot create 'z': one or more devices is less than the minimum size (64M)\n",
         "too small"),
        ("mountpoint '/mnt' exists and is not empty\nuse '-m' option\n", "mountpoint in use"),
        ("cannot import 'x': pool was previously in use from another system.\n"
         "Last accessed by hostA (hostid=1) at x\n", "other system"),
        ("cannot import 'x': one or more devices is currently unavailable\n", "device missing"),
        ("cannot export 'x': pool is busy\n", "pool busy"),
        ("cannot set property for 'zroot': invalid property 'compatibility'\n", "bad property"),
        ("internal error: cannot import 'x': Input/output error\nAbort trap\n", "crashed"),
    ],
)  # fmt: skip
def test_other_complaints(text: str, kind: str) -> None:
    found = zpool_errors.explain(text)
    assert found is not None
    assert found.kind == kind
    assert "{" not in found.what + found.now


def test_unknown_complaints_stay_unknown() -> None:
    assert zpool_errors.explain("something new\n") is None


# --- compatibility ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("13", "openzfs-2.0-freebsd"),
        ("13.2-RELEASE-p3", "openzfs-2.1-freebsd"),
        ("14", "openzfs-2.1-freebsd"),
        ("15.0-RELEASE", "openzfs-2.1-freebsd"),
        (None, "openzfs-2.0-freebsd"),
        ("nonsense", "openzfs-2.0-freebsd"),
        ("12.4-RELEASE", "openzfs-2.0-freebsd"),
    ],
)
def test_compatibility_on_the_recorded_medium(
    recorded: Recorded, release: str | None, name: str
) -> None:
    names = frozenset(recorded("ls /usr/share/zfs/compatibility.d").split())
    found = compatibility.choose(release, names)
    assert found.name == name
    assert found.reason.endswith(".")


def test_compatibility_on_newer_media() -> None:
    names = {f"openzfs-2.{n}" for n in (2, 3, 4)} | {"openzfs-2.1-freebsd", "openzfs-2.0-freebsd"}
    expected = {
        "13.0": "openzfs-2.0-freebsd", "14.3": "openzfs-2.2", "15.0": "openzfs-2.3",
        "15.1": "openzfs-2.4", "16.0": "openzfs-2.4",
    }  # fmt: skip
    assert {key: compatibility.choose(key, names).name for key in expected} == expected


def test_compatibility_without_any_names() -> None:
    assert compatibility.choose("13", ()).name is None
    assert compatibility.choose("13", {"grub2"}).name is None
    assert compatibility.choose("13", {"compat-2021"}).name == "compat-2021"
