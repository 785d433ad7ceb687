"""Pools over several simulated disks: what zpool(8) prints, refuses, and still imports."""

from __future__ import annotations

from typing import Any

import pytest

from zrwizard.rehearsal import Rehearsal, Start, variant

GIB = 1 << 30
DISKS = tuple((8 * GIB, f"ZRDISK{number:04}") for number in range(2, 6))
STATUS = """\
  pool: tank
 state: ONLINE
config:

\tNAME           STATE     READ WRITE CKSUM
\ttank           ONLINE       0     0     0
\t  mirror-0     ONLINE       0     0     0
\t    gpt/data0  ONLINE       0     0     0
\t    gpt/data1  ONLINE       0     0     0
\t  mirror-1     ONLINE       0     0     0
\t    gpt/data2  ONLINE       0     0     0
\t    gpt/data3  ONLINE       0     0     0
\tspares
\t  gpt/data4    AVAIL\x20\x20\x20

errors: No known data errors
"""
OFFER = """\
 config:

\ttank           ONLINE
\t  mirror-0     ONLINE
\t    gpt/data0  ONLINE
\t    gpt/data1  ONLINE
\t  mirror-1     ONLINE
\t    gpt/data2  ONLINE
\t    gpt/data3  ONLINE
\tspares
\t  gpt/data4
"""
MIRRORS = "mirror gpt/data0 gpt/data1 mirror gpt/data2 gpt/data3 spare gpt/data4"


@pytest.fixture
def made(begin: Any) -> Rehearsal:
    """Five disks with a partition each: data0 to data4."""
    found: Rehearsal = begin(variant("restore", start=Start.PLAIN, more_disks=DISKS), speed=400)
    for number in range(5):
        done = found.run(
            f"gpart create -s gpt vtbd{number} && "
            f"gpart add -a 1m -t freebsd-zfs -l data{number} vtbd{number}"
        )
        assert done[0] == 0, done
    return found


def create(made: Rehearsal, vdevs: str, options: str = "") -> tuple[int, str]:
    status, out, errors = made.run(f"zpool create {options} -m none tank {vdevs}")
    return status, out + errors


def test_status_and_import_of_mirrors_with_a_spare(made: Rehearsal) -> None:
    assert create(made, MIRRORS) == (0, "")
    assert made.run("zpool status")[1] == STATUS
    assert "/dev/gpt/data3  ONLINE" in made.run("zpool status -P")[1]
    assert made.run("zpool list -H -o health tank")[1] == "ONLINE\n"
    for number in range(5):
        assert made.run(f"gpart destroy -F vtbd{number}")[0] == 1, "the pool holds every disk"
    assert made.run("zpool export tank")[0] == 0
    listed = made.run("zpool import")[1]
    assert listed.count("pool: tank") == 1
    assert OFFER in listed


@pytest.mark.parametrize(
    ("vdevs", "says"),
    [
        pytest.param("mirror gpt/data0", "mirror requires at least 2 devices", id="lone-mirror"),
        pytest.param("raidz2 gpt/data0 gpt/data1", "raidz2 requires at least 3", id="raidz2"),
        pytest.param("mirror gpt/data0 gpt/data0", "refer to the same device", id="same-twice"),
        pytest.param("mirror gpt/data0 gpt/nosuch", "no such device in /dev", id="missing"),
        pytest.param(
            "mirror gpt/data0 gpt/data1 gpt/data2",
            "mismatched replication level: both disk and mirror",
            id="mixed",
        ),
        pytest.param(
            "mirror gpt/data0 gpt/data1 mirror gpt/data2 gpt/data3 gpt/data4",
            "both 2-way and 3-way mirror vdevs are present",
            id="uneven",
        ),
    ],
)
def test_vdevs_that_zpool_refuses(made: Rehearsal, vdevs: str, says: str) -> None:
    if "mixed" in says or says.startswith("mismatched"):
        vdevs = "gpt/data3 " + vdevs
    status, said = create(made, vdevs)
    assert status != 0
    assert says in said
    assert made.run("zpool list -H")[1] == ""


def test_devices_of_different_sizes_need_force(made: Rehearsal) -> None:
    made.run("gpart delete -i 1 vtbd1; gpart add -a 1m -s 2g -t freebsd-zfs -l data1 vtbd1")
    status, said = create(made, "mirror gpt/data0 gpt/data1")
    assert status == 1
    assert "use '-f' to override" in said
    assert "mirror contains devices of different sizes" in said
    assert create(made, "mirror gpt/data0 gpt/data1", "-f") == (0, "")
    size = int(made.run("zpool list -Hp -o size tank")[1])
    assert size < 2 * GIB


@pytest.mark.parametrize(
    ("kind", "disks", "share"),
    [
        pytest.param("mirror", 3, 1.0, id="mirror"),
        pytest.param("raidz1", 3, 2.0, id="raidz1"),
        pytest.param("raidz2", 4, 2.0, id="raidz2"),
        pytest.param("", 3, 3.0, id="stripe"),
    ],
)
def test_room(made: Rehearsal, kind: str, disks: int, share: float) -> None:
    devices = " ".join(f"gpt/data{number}" for number in range(disks))
    assert create(made, f"{kind} {devices}") == (0, "")
    free = int(made.run("zfs list -Hp -o available tank")[1])
    assert 0.87 * share * 8 * GIB < free < share * 8 * GIB


@pytest.mark.parametrize(
    ("vdevs", "lost", "state"),
    [
        pytest.param("mirror gpt/data0 gpt/data1", ["vtbd0"], "DEGRADED", id="mirror"),
        pytest.param("mirror gpt/data0 gpt/data1", ["vtbd0", "vtbd1"], "", id="mirror-all"),
        pytest.param(MIRRORS, ["vtbd0", "vtbd3"], "DEGRADED", id="one-of-each"),
        pytest.param(MIRRORS, ["vtbd2", "vtbd3"], "UNAVAIL", id="both-of-one"),
        pytest.param("raidz1 gpt/data0 gpt/data1 gpt/data2", ["vtbd1"], "DEGRADED", id="raidz1"),
        pytest.param(
            "raidz1 gpt/data0 gpt/data1 gpt/data2", ["vtbd1", "vtbd2"], "UNAVAIL", id="raidz1-two"
        ),
        pytest.param("gpt/data0 gpt/data1", ["vtbd1"], "UNAVAIL", id="stripe"),
        pytest.param(MIRRORS, ["vtbd4"], "ONLINE", id="spare"),
    ],
)
def test_disks_that_are_lost(made: Rehearsal, vdevs: str, lost: list[str], state: str) -> None:
    assert create(made, vdevs) == (0, "")
    made.run("zpool export tank")
    for name in lost:
        made.pull_disk(name)
    listed = made.run("zpool import")[1]
    status, _, errors = made.run("zpool import -N -R /mnt tank")
    if not state:
        assert "tank" not in listed
        assert "no such pool available" in errors
        return
    assert f"state: {state}\n" in listed
    assert (status == 0) == (state != "UNAVAIL")
    if status:
        assert "one or more devices is currently unavailable" in errors
    else:
        assert made.run("zpool list -H -o health tank")[1] == f"{state}\n"
        assert ("UNAVAIL" in made.run("zpool status")[1]) == (
            state == "DEGRADED" or "vtbd4" in lost
        )


def test_swapped_disks_keep_their_pool(made: Rehearsal) -> None:
    assert create(made, "mirror vtbd0p1 vtbd1p1") == (0, "")
    made.run("zpool export tank")
    made.swap_disks("vtbd1", "vtbd2")
    assert made.run("diskinfo -s vtbd1")[1] == "ZRDISK0003\n"
    assert made.run("zpool import -N tank")[0] == 0
    assert "vtbd2p1" in made.run("zpool status tank")[1]


def test_a_failing_disk_says_so(made: Rehearsal) -> None:
    made.inside(lambda: setattr(made.target.disks[1], "failing", True))
    status, _, errors = made.run("gpart delete -i 1 vtbd1")
    assert (status, errors) == (1, "gpart: vtbd1: Input/output error\n")
    assert create(made, "mirror gpt/data0 gpt/data1")[0] == 1
    assert made.run("zpool list -H")[1] == ""
