"""Which disk a device lies on, and what makes the install medium untouchable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zrwizard import holds
from zrwizard.facts import DiskFacts, Use
from zrwizard.freebsd import geom, gpart, mount

GIB = 1 << 30
CLOSED = geom.Mode(0, 0, 0)
OPEN = geom.Mode(1, 0, 1)
RECORDED = json.loads((Path(__file__).parent / "freebsd" / "recorded.json").read_text())


def disk(
    name: str,
    mode: geom.Mode = CLOSED,
    ident: str | None = None,
    table: gpart.Table | None = None,
) -> DiskFacts:
    return DiskFacts(geom.Disk(name, GIB, 512, mode=mode, ident=ident), "", table)


def uses(found: DiskFacts, *mounts: mount.Mount) -> list[Use]:
    return [hold.use for hold in holds.on(found, holds.Claims(mounts=mounts))]


@pytest.mark.parametrize(
    ("device", "name", "provider"),
    [
        ("/dev/da10p2", "da10", "da10p2"),
        ("da1s1a", "da1", "da1s1a"),
        ("da1", "da1", "da1"),
        ("vtbd0p3.eli", "vtbd0", "vtbd0p3"),
        ("gpt/zfs0", "vtbd0", "vtbd0p4"),
        ("/dev/gpt/zfs0.eli", "vtbd0", "vtbd0p4"),
        ("diskid/DISK-X1p3", "da10", "da10p3"),
        ("gpt/other", None, None),
        ("ufs/root", None, None),
        ("nda0", None, None),
        ("/dev/da100", None, None),
    ],
)
def test_which_disk_a_device_lies_on(device: str, name: str | None, provider: str | None) -> None:
    table = gpart.Table("GPT", 128, (gpart.Entry(4, "freebsd-zfs", 1, 1, "zfs0"),))
    disks = (disk("da1"), disk("da10", ident="X1"), disk("vtbd0", table=table))
    found = {d.name: holds.provider_on(d, device) for d in disks}
    assert {n: p for n, p in found.items() if p} == ({name: provider} if name else {})


def test_the_live_cd_is_recognised() -> None:
    told = {row["cmd"]: row["stdout"] for row in RECORDED if "stdout" in row}
    mounts = mount.parse_mounted(told["mount -p"])
    assert holds.is_live(mounts)
    for found in geom.parse_disks(told["geom disk list"]):
        wanted = [Use.MEDIUM] if found.name == "cd0" else []
        assert uses(DiskFacts(found, ""), *mounts) == wanted, found.name


def test_a_memory_stick_with_a_label_blocks_every_open_disk() -> None:
    root = mount.Mount("/dev/ufs/FreeBSD_Install", "/", "ufs", ("ro", "noatime"))
    assert holds.is_live((root,))
    assert uses(disk("da0", OPEN), root) == [Use.MEDIUM]
    assert uses(disk("ada0"), root) == []
    assert uses(disk("ada1", geom.Mode(1, 1, 1)), root) == [Use.MEDIUM]


def test_an_installed_system_is_no_live_medium() -> None:
    root = mount.Mount("zroot/ROOT/default", "/", "zfs", ("rw",))
    assert not holds.is_live((root,))
    assert uses(disk("ada0", geom.Mode(2, 2, 4)), root) == [Use.OPEN]
