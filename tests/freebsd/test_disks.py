"""Disks and tables: recorded output, and the layout calculator against recorded tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zrwizard.freebsd import ParseError, diskinfo, geom, gpart, layout, size, sysctl

Recorded = Callable[..., str]
MIB = 1 << 20
GIB = 1 << 30

RESTORE = (
    layout.Request(1, "freebsd-boot", "gptboot0", 512 << 10, 4096),
    layout.Request(2, "efi", "efiboot0", 260 * MIB, MIB),
    layout.Request(3, "freebsd-swap", "swap0", 512 * MIB, MIB),
    layout.Request(4, "freebsd-zfs", "zfs0", None, MIB, minimum=64 * MIB),
)


def rows(found: layout.Layout | layout.LayoutProblem) -> list[tuple[int, int, int]]:
    assert isinstance(found, layout.Layout), found
    return [(entry.index, entry.start, entry.sectors) for entry in found.table.entries]


# --- geom, diskinfo, sysctl -------------------------------------------------------------------


def test_geom_disk_list(recorded: Recorded) -> None:
    disks = geom.parse_disks(recorded("geom disk list"))
    assert [disk.name for disk in disks] == ["vtbd0", "vtbd1", "cd0", "ada0", "da0"]
    assert disks[0] == geom.Disk("vtbd0", 4 * GIB, 512, ident="ZRDISK0001")
    assert disks[2].mode == geom.Mode(1, 0, 1)
    assert disks[2].mode.open
    assert disks[2].ident is None
    assert disks[3].rotationrate == "5400"
    assert disks[4] == geom.Disk(
        "da0", GIB, 512, 4096, descr="WD MyPassport", ident="SCSI0001", rotationrate="unknown"
    )


def test_geom_keys_come_in_any_order() -> None:
    text = (
        "Geom name: nda0\nProviders:\n1. Name: nda0\n   Mode: r3w2e5\n   ident: S1\n"
        "   lunid: 0025385b91b2\n   descr: Samsung SSD 990 PRO: 1TB\n   Sectorsize: 512\n"
        "   rotationrate: 0\n   Mediasize: 1000204886016 (931G)\n\n"
    )
    (disk,) = geom.parse_disks(text)
    assert (disk.mediasize, disk.descr, disk.mode) == (
        1000204886016,
        "Samsung SSD 990 PRO: 1TB",
        geom.Mode(3, 2, 5),
    )


@pytest.mark.parametrize(
    "text",
    [
        "garbage",
        "Geom name: x\nProviders:\n1. Name: x\n   Mode: r0w0e0\n",
        "1. Name: x\n   Mode: q",
    ],
)
def test_geom_nonsense(text: str) -> None:
    with pytest.raises(ParseError) as failure:
        geom.parse_disks(text)
    assert failure.value.tool == "geom disk list"
    assert failure.value.what


def test_no_disks_at_all() -> None:
    assert geom.parse_disks("") == ()


def test_diskinfo(recorded: Recorded) -> None:
    assert diskinfo.parse(recorded("diskinfo vtbd0")) == diskinfo.DiskInfo(
        "vtbd0", 512, 4 * GIB, 8388608, 0, 0
    )
    assert diskinfo.parse_ident(recorded("diskinfo -s vtbd0")) == "ZRDISK0001"
    assert diskinfo.parse_ident("\n") is None
    with pytest.raises(ParseError):
        diskinfo.parse("diskinfo: zz0: No such file or directory\n")


def test_sysctl(recorded: Recorded) -> None:
    disks = sysctl.parse_disks(recorded("sysctl -n kern.disks"))
    assert disks == ("ada0", "cd0", "da0", "vtbd0", "vtbd1")
    assert sysctl.parse_disks("da10 da9 nda0\n") == ("da9", "da10", "nda0")
    assert sysctl.parse_bootmethod(recorded("sysctl -n machdep.bootmethod")) == "BIOS"
    assert sysctl.parse_number("1039380480\n") == 1039380480
    for nonsense in ("sysctl: unknown oid 'x'\n", ""):
        with pytest.raises(ParseError):
            sysctl.parse_bootmethod(nonsense)
        with pytest.raises(ParseError):
            sysctl.parse_number(nonsense)


# --- gpart ------------------------------------------------------------------------------------


def test_gpart_show(recorded: Recorded) -> None:
    (table,) = gpart.parse_show(recorded("gpart show -p vtbd0"))
    assert (table.geom, table.scheme, table.first, table.sectors) == ("vtbd0", "GPT", 40, 8388528)
    assert not table.corrupt
    assert [(p.provider, p.type, p.start, p.sectors) for p in table.partitions] == [
        ("vtbd0p1", "freebsd-boot", 40, 1024),
        ("vtbd0p2", "efi", 2048, 532480),
        ("vtbd0p3", "freebsd-swap", 534528, 1048576),
        ("vtbd0p4", "freebsd-zfs", 1583104, 6803456),
    ]
    assert table.free == (gpart.Gap(1064, 984), gpart.Gap(8386560, 2008))


def test_gpart_show_several_tables_attributes_and_damage() -> None:
    text = (
        "=>      40  41942960    vtbd0  GPT  (20G) [CORRUPT]\n"
        "        40      1024  vtbd0p1  freebsd-boot  (512K)\n"
        "      1064       984           - free -  (492K)\n"
        "      2048  41940952  vtbd0p2  freebsd-ufs  [bootme,bootonce]  (20G)\n\n"
        "=>      63  15257537    da0  MBR  (7.3G)\n"
        "        63         1         - free -  (512B)\n"
        "        64   2252800  da0s1  freebsd  [active]  (1.1G)\n"
        "   2252864  13004736  da0s2  !12  (6.2G)\n\n"
        "=>      0  2252800  da0s1  BSD  (1.1G)\n"
        "        0       16         - free -  (8.0K)\n"
        "       16  2252784  da0s1a  freebsd-ufs  (1.1G)\n\n"
    )
    first, second, third = gpart.parse_show(text)
    assert first.corrupt
    assert first.partitions[1].attributes == ("bootme", "bootonce")
    assert (second.scheme, second.corrupt) == ("MBR", False)
    assert [p.type for p in second.partitions] == ["freebsd", "!12"]
    assert third.partitions[0].provider == "da0s1a"


def test_gpart_show_of_no_tables(recorded: Recorded) -> None:
    assert gpart.parse_show(recorded("gpart show")) == ()
    with pytest.raises(ParseError):
        gpart.parse_show("   40  1024  vtbd0p1  efi  (512K)\n")


def test_gpart_backup(recorded: Recorded) -> None:
    table = gpart.parse_backup(recorded("gpart backup vtbd0"))
    assert (table.scheme, table.slots) == ("GPT", 128)
    assert table.entries[3] == gpart.Entry(4, "freebsd-zfs", 1583104, 6803456, "zfs0")


@pytest.mark.parametrize(
    ("tail", "label", "attributes"),
    [
        ("gptboot0 ", "gptboot0", ()),
        (" ", "", ()),
        ("", "", ()),
        (" [bootme] ", "", ("bootme",)),
        (" [bootme]", "", ("bootme",)),
        ("root  [bootme,bootonce] ", "root", ("bootme", "bootonce")),
        ("Basic data partition ", "Basic data partition", ()),
        ("a [b] ", "a [b]", ()),
        ("a [b]  [bootme] ", "a [b]", ("bootme",)),
        ("(null) ", "(null)", ()),
    ],
)
def test_gpart_backup_labels(tail: str, label: str, attributes: tuple[str, ...]) -> None:
    text = f"GPT 128\n1   freebsd-ufs      40    1024 {tail}\n"
    (entry,) = gpart.parse_backup(text).entries
    assert (entry.label, entry.attributes) == (label, attributes)


def test_gpart_backup_nonsense() -> None:
    for text in ("", "gpart: No such geom: da0.\n", "GPT 128\nx y\n", "GPT 128\n1 efi 5\n"):
        with pytest.raises(ParseError):
            gpart.parse_backup(text)


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("gpart create -s gpt vtbd0", "table exists"),
        ("gpart destroy vtbd0", "busy"),
        ("gpart destroy -F vtbd0", "busy"),
        ("gpart destroy -F vtbd9", "no disk"),
        ("gpart add -a 1m -l more -t freebsd-zfs vtbd0", "no space"),
        ("gpart add -t freebsd-zfs vtbd9", "no disk"),
        ("gpart add -t freebsd-zfs vtbd1", "no table"),
    ],
)
def test_gpart_complaints(recorded: Recorded, command: str, kind: str) -> None:
    found = gpart.explain(recorded(command, part="stderr"))
    assert found is not None
    assert found.kind == kind
    assert "{" not in found.what + found.now
    assert gpart.explain("something else\n") is None


# --- the layout calculator --------------------------------------------------------------------


def test_layout_of_the_recorded_disk(recorded: Recorded) -> None:
    made = layout.lay_out(4 * GIB, 512, RESTORE)
    assert isinstance(made, layout.Layout)
    assert made.table == gpart.parse_backup(recorded("gpart backup vtbd0"))
    # `gpart list` said first 40, last 8388567.
    assert (made.first, made.last) == (40, 8388567)
    (shown,) = gpart.parse_show(recorded("gpart show -p vtbd0"))
    assert (shown.first, shown.sectors) == (made.first, made.last - made.first + 1)
    assert made.bytes_of(4) == 3483369472


def test_layout_of_the_worked_example() -> None:
    made = layout.lay_out(
        20 * GIB,
        512,
        (
            replace(RESTORE[0]),
            layout.Request(2, "freebsd-swap", "swap0", 2 * GIB, MIB),
            layout.Request(3, "freebsd-zfs", "zfs0", None, MIB),
        ),
    )
    assert rows(made) == [(1, 40, 1024), (2, 2048, 4194304), (3, 4196352, 37744640)]


def test_layout_on_4k_native_sectors() -> None:
    made = layout.lay_out(20 * GIB, 4096, RESTORE)
    assert isinstance(made, layout.Layout)
    total = 20 * GIB // 4096
    assert (made.first, made.last) == (6, total - 6)
    assert rows(made) == [
        (1, 6, 128),
        (2, 256, 66560),
        (3, 66816, 131072),
        (4, 197888, total - 256 - 197888),
    ]


def test_odd_sizes_are_rounded_inwards() -> None:
    # 1 sector more than a multiple of 4 KiB: the last usable sector still ends a 4 KiB block.
    first, last = layout.usable(4 * GIB + 512, 512)
    assert (first, last) == (40, 8388575)
    assert (last + 1) % 8 == 0
    made = layout.lay_out(GIB, 512, (layout.Request(1, "efi", "e", 3 * MIB + 512, MIB),))
    assert rows(made) == [(1, 2048, 6144)]


def test_a_size_below_the_alignment_stays() -> None:
    made = layout.lay_out(GIB, 512, (layout.Request(1, "freebsd-boot", "b", 512 << 10, MIB),))
    assert rows(made) == [(1, 2048, 1024)]


def test_a_small_partition_takes_the_tightest_gap() -> None:
    requests = (*RESTORE, layout.Request(5, "bios-boot", "x", 64 << 10, 4096))
    # The gap behind the boot partition (1064, 984) is smaller than the one at the end (2008).
    assert rows(layout.lay_out(4 * GIB, 512, requests))[1] == (5, 1064, 128)


@pytest.mark.parametrize(
    ("mediasize", "requests", "words"),
    [
        (300 * MIB, RESTORE, "swap0 needs 512.0 MiB"),
        (800 * MIB, RESTORE, "zfs0 needs at least 64.0 MiB"),
        (100 * MIB, RESTORE, "efiboot0 needs 260.0 MiB"),
        (0, RESTORE, "too small"),
        (GIB, (replace(RESTORE[0], bytes=1000),), "no whole number"),
        (GIB, (replace(RESTORE[0], align=100),), "alignment"),
        (GIB, (RESTORE[0], RESTORE[0]), "number 1"),
        (GIB, (replace(RESTORE[0], index=129),), "number 129"),
    ],
)
def test_layout_problems(mediasize: int, requests: tuple[layout.Request, ...], words: str) -> None:
    found = layout.lay_out(mediasize, 512, requests)
    assert isinstance(found, layout.LayoutProblem)
    assert words in found.what
    assert found.now.endswith(".")


@given(
    st.integers(0, 1 << 44),
    st.sampled_from([512, 4096]),
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(1, 1 << 22).map(lambda n: n * 4096)),
            st.sampled_from([4096, MIB]),
        ),
        max_size=6,
    ),
)
def test_layout_rows_are_aligned_inside_and_apart(
    mediasize: int, sectorsize: int, wanted: list[tuple[int | None, int]]
) -> None:
    requests = tuple(
        layout.Request(n, "freebsd-zfs", f"l{n}", count, align)
        for n, (count, align) in enumerate(wanted, 1)
    )
    made = layout.lay_out(mediasize, sectorsize, requests)
    if isinstance(made, layout.LayoutProblem):
        return
    end = made.first
    for entry in made.table.entries:
        assert entry.start >= end
        assert entry.start * sectorsize % requests[entry.index - 1].align == 0
        assert entry.sectors > 0
        end = entry.start + entry.sectors
    assert end <= made.last + 1


# --- sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "count"),
    [
        ("512k", 524288), ("2g", 2 * GIB), ("2 GiB", 2 * GIB), ("1.5T", 1649267441664),
        ("260M", 260 * MIB), ("1000", 1000), ("4KB", 4096), ("0", 0),
    ],
)  # fmt: skip
def test_typed_sizes(typed: str, count: int) -> None:
    assert size.parse(typed) == count


@pytest.mark.parametrize("typed", ["", "x", "-1g", "1.5", "g", "2 g g", "1e3", "٣g"])
def test_typed_nonsense(typed: str) -> None:
    with pytest.raises(ParseError):
        size.parse(typed)


@given(st.integers(0, 1 << 54))
def test_sizes_for_gpart_are_exact(count: int) -> None:
    text = size.for_gpart(count * 512)
    assert size.parse_gpart(text, 512) == count
    assert size.parse(text) == count * 512


def test_gpart_sizes() -> None:
    assert size.for_gpart(512 << 10) == "512k"
    assert size.for_gpart(1000) == "1000b"
    assert size.parse_gpart("2147483648b", 512) == 4194304
    assert size.parse_gpart("1024", 512) == 1024
    assert size.parse_gpart("1024s", 512) == 1024
    assert size.parse_gpart("4k", 4096) == 1
    with pytest.raises(ParseError, match="sector size"):
        size.parse_gpart("1000b", 512)


def test_sizes_of_zfs() -> None:
    assert size.parse_zfs("312B") == 312
    assert size.parse_zfs("46.0K") == 47104
    assert size.parse_zfs("1.20G") == 1288490188
    assert size.parse_zfs("0") == 0


def test_sizes_for_people() -> None:
    assert size.human(4 * GIB) == "4.0 GiB"
    assert size.human(512 << 10) == "512.0 KiB"
