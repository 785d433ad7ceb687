"""The simulated host of the preview: it prints as FreeBSD does, and it knows what was changed."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zrwizard.rehearsal import Rehearsal
from zrwizard.rehearsal.previewhost import NEWER, OLDER
from zrwizard.rehearsal.previewstory import AWKWARD
from zrwizard.rehearsal.rawname import narrow, wide
from zrwizard.rehearsal.zfsdiff import Writer, lines
from zrwizard.rehearsal.zfsfiles import ROOT, FileTree

RECORDED: dict[int, dict[str, Any]] = {
    e["n"]: e for e in json.loads((Path(__file__).parent / "recorded.json").read_text())
}
HAN_OLD = f"/home/han/.zfs/snapshot/{OLDER}"


@pytest.fixture(scope="module")
def host() -> Iterator[Rehearsal]:
    """A host that is only looked at."""
    with Rehearsal(speed=500, scenario="preview") as made:
        yield made
        assert made.changed() == []


@pytest.fixture(scope="module")
def judged() -> Iterator[Rehearsal]:
    """A host to which one thing after the other is done."""
    with Rehearsal(speed=500, scenario="preview") as made:
        yield made


@pytest.fixture
def victim() -> Iterator[Rehearsal]:
    """A host that may be changed."""
    with Rehearsal(speed=500, scenario="preview") as made:
        yield made


def out(made: Rehearsal, text: str, status: int = 0) -> str:
    """The standard output of a command that ends with `status`."""
    got = made.run(text)
    assert got[0] == status, got
    return got[1]


def refused(made: Rehearsal, text: str, status: int = 1) -> str:
    """The error text of a command that fails."""
    got = made.run(text)
    assert got[0] == status, got
    return got[2]


def word(data: bytes) -> str:
    """sh text that stands for `data`, as octal digits."""
    digits = "".join(f"\\0{byte:03o}" for byte in data)
    return f"$(printf '%b' '{digits}')"


# zfs diff


def recorded_trees() -> tuple[FileTree, FileTree]:
    """The files of the recorded session at its two snapshots."""
    tree = FileTree()
    tree.begin(1795294161 * 10**9)
    for name, kind in (
        (b"/d", "/"),
        (b"/keep", "F"),
        (b"/gone", "F"),
        (b"/ren", "F"),
        (b"/with space", "F"),
        (b"/caf\xc3\xa9", "F"),
        (b"/sym", "@"),
        (b"/ff", "|"),
    ):
        tree.put(name, b"keep" if kind == "@" else b"", kind)
    for name, when in ((b"/gone", 408106), (b"/with space", 450785)):
        node = tree.at(name)
        assert node is not None
        tree.nodes[node.number] = replace(node, ctime=(1795294164 * 10**6 + when) * 1000)
    older = tree.copy()
    tree.now = 1795294165 * 10**9
    tree.write(b"/keep", b"one\nmore\n")
    tree.remove(b"/gone")
    tree.move(b"/ren", b"/renamed")
    tree.put(b"/fresh")
    tree.link(b"/keep", b"/hard")
    tree.put(b"/new\ttab")
    tree.put(b"/a -> b")
    tree.put(b"/d/sub", kind="/")
    tree.remove(b"/with space")
    tree.move(b"/sym", b"/d/sym")
    stamps = {
        b"/d": 234861,
        b"/keep": 124135,
        b"/renamed": 95388,
        b"/d/sym": 234816,
        b"/fresh": 98449,
        b"/new\ttab": 149612,
        b"/a -> b": 152638,
        b"/d/sub": 176590,
        b"": 234887,
    }
    for name, when in stamps.items():
        node = tree.at(name)
        assert node is not None
        tree.nodes[node.number] = replace(node, ctime=(1795294165 * 10**6 + when) * 1000)
    assert tree.nodes[ROOT].links == older.nodes[ROOT].links
    return older, tree


@pytest.mark.parametrize(("number", "flags"), [(117, "FHht"), (118, "FHt"), (119, ""), (120, "FH")])
def test_the_recorded_differences_come_out_byte_for_byte(number: int, flags: str) -> None:
    older, newer = recorded_trees()
    made = b"".join(lines(older, newer, Writer(b"/mnt/usr/home", flags)))
    assert made.decode() == RECORDED[number]["stdout"]


@pytest.mark.parametrize(
    ("command", "status", "text"),
    [
        (
            "zfs diff zroot/home@2025-08-15 zroot/home@2025-08-08",
            1,
            "Unable to obtain diffs: \n   Not an earlier snapshot from the same fs\n",
        ),
        (
            "zfs diff zroot/home@2025-08-08 zroot/home@nosuch",
            1,
            "Unable to obtain diffs: No such file or directory\n",
        ),
        (
            "zfs diff zroot/archive@2025-08-08 zroot/archive@2025-08-15",
            1,
            "Cannot diff an unmounted snapshot: operation not applicable to datasets of this "
            "type\n",
        ),
        ("zfs diff zroot/nosuch@a", 1, "cannot open 'zroot/nosuch': dataset does not exist\n"),
        (
            "zfs diff zroot/vm0@2025-08-08 zroot/vm0@2025-08-15",
            1,
            "cannot open 'zroot/vm0': operation not applicable to datasets of this type\n",
        ),
        (
            "zfs diff zroot/data@2025-08-08 zroot/home@2025-08-15",
            1,
            "Not an earlier snapshot from the same fs: invalid name\n",
        ),
        (
            "zfs diff zroot/home zroot/home@2025-08-15",
            1,
            "Unable to determine which snapshots to compare: invalid name\n",
        ),
    ],
)
def test_the_refusals_of_zfs_diff(host: Rehearsal, command: str, status: int, text: str) -> None:
    assert host.run(command) == (status, "", text)


def test_what_zfs_diff_was_not_told(host: Rehearsal) -> None:
    assert refused(host, "zfs diff", 2).startswith(
        "must provide at least one snapshot name\nusage:\n\tdiff [-FHth] <snapshot>"
    )
    assert refused(host, "zfs diff -x a@b", 2).startswith("invalid option 'x'\nusage:")
    assert refused(host, "zfs diff a@b c@d e@f", 2).startswith("too many arguments\n")


def stats(made: Rehearsal, root: str) -> dict[bytes, tuple[str, ...]]:
    """Every path below a directory with what stat(1) says: found by find, not by zfs."""
    text = out(made, f"find {root} -print0 | b64encode -r x")
    names = [n for n in base64.b64decode(text).split(b"\0") if n]
    found = {}
    for name in names:
        fields = out(made, f'stat -f "%i %B %Fc %l %HT" "{word(name)}"').split()
        found[name[len(root) :]] = tuple(fields)
    return found


def unescaped(name: str) -> bytes:
    """A name of zfs diff as bytes."""
    return re.sub(rb"\\0([0-7]{3})", lambda m: bytes([int(m[1], 8)]), name.encode())


@pytest.fixture(scope="module")
def both(host: Rehearsal) -> tuple[dict[bytes, Any], dict[bytes, Any]]:
    """Han's home at both moments."""
    return stats(host, HAN_OLD), stats(host, f"/home/han/.zfs/snapshot/{NEWER}")


def told(made: Rehearsal) -> dict[str, set[tuple[bytes, ...]]]:
    """What zfs diff says about Han's home: paths by kind of change."""
    found: dict[str, set[tuple[bytes, ...]]] = {"M": set(), "+": set(), "-": set(), "R": set()}
    text = out(made, f"zfs diff -FHt zroot/home/han@{OLDER} zroot/home/han@{NEWER}")
    for line in text.splitlines():
        _, kind, _, *names = line.split("\t")
        names = [n for n in names if not re.fullmatch(r"\([+-]\d+\)", n)]
        found[kind].add(tuple(unescaped(n)[len("/home/han") :].rstrip(b"/") for n in names))
    return found


def test_zfs_diff_tells_what_two_walks_find(
    host: Rehearsal, both: tuple[dict[bytes, Any], dict[bytes, Any]]
) -> None:
    older, newer = both
    # An object is the same file if its number and its time of birth are.
    old_paths: dict[tuple[str, ...], list[bytes]] = {}
    new_paths: dict[tuple[str, ...], list[bytes]] = {}
    for paths, side in ((old_paths, older), (new_paths, newer)):
        for name, fields in sorted(side.items()):
            paths.setdefault(fields[:2], []).append(name)
    said = told(host)
    gone = {(p,) for key, ps in old_paths.items() if key not in new_paths for p in ps[:1]}
    fresh = {(p,) for key, ps in new_paths.items() if key not in old_paths for p in ps[:1]}
    assert said["-"] == gone
    assert said["+"] == fresh
    kept = old_paths.keys() & new_paths.keys()
    one = {k for k in kept if len(old_paths[k]) == len(new_paths[k]) == 1}
    moved = {
        (a, b)
        for k in one
        for a, b in zip(old_paths[k], new_paths[k], strict=True)
        if a != b and older[a][2] != newer[b][2]
    }
    assert said["R"] == moved
    changed = {(p,) for k in one for p in old_paths[k] if p in newer and older[p] != newer[p]}
    assert {n for n in said["M"] if n in changed} == {c for c in changed if c not in gone}
    assert len(moved) >= 4
    assert len(gone) > 8
    assert len(fresh) > 10


def test_every_awkward_name_is_told_and_read(
    host: Rehearsal, both: tuple[dict[bytes, Any], dict[bytes, Any]]
) -> None:
    for number, name in enumerate(AWKWARD):
        assert b"/" + name in both[0]
        path = word(f"{HAN_OLD}/".encode() + name)
        data = b"awkward %d\n" % number
        assert out(host, f'cat "{path}"').encode() == data
        assert out(host, f'sha256 -q "{path}"').strip() == hashlib.sha256(data).hexdigest()
        assert out(host, f'stat -f %z "{path}"') == f"{len(data)}\n"
        assert out(host, f'dd if="{path}" bs=4 skip=1 count=1 status=none') == "ard "
        assert out(host, f'head -c 3 "{path}"') == "awk"
        assert out(host, f'[ -f "{path}" ] && echo yes') == "yes\n"


def test_a_long_command_keeps_bytes_that_are_no_text(host: Rehearsal) -> None:
    name = AWKWARD[11]
    text = b"cat '%s/%s' && : %s" % (HAN_OLD.encode(), name, b"x" * 300)
    sent = base64.b64encode(text).decode()
    crc = out(host, f'c=$(echo {sent} | b64decode -r); printf %s "$c" | cksum')
    assert int(crc.split()[1]) == len(text)
    assert out(host, f'c=$(echo {sent} | b64decode -r); eval "$c"') == "awkward 11\n"


@pytest.mark.parametrize("late", ["", "sleep 100; "], ids=["at once", "late"])
def test_a_reader_of_a_fifo_sees_what_went_through_it(victim: Rehearsal, late: str) -> None:
    reader = f"{{ {late}cksum; }} </tmp/f >/tmp/k &"
    written = "(echo abc; sleep 10; echo de) | tee /tmp/f"
    text = out(victim, f"mkfifo /tmp/f; {reader} {written}; wait; cat /tmp/k")
    assert text == "abc\nde\n" + out(victim, "printf 'abc\\nde\\n' | cksum")


def test_raw_names_survive_the_virtual_shell() -> None:
    for name in (*AWKWARD, bytes(range(1, 256)), "\U0010fffd\U0010f7ff".encode()[:3]):
        assert narrow(wide(name)) == name
        wide(name).encode()


def test_a_promoted_clone_is_compared_across_the_two(host: Rehearsal) -> None:
    text = out(host, f"zfs diff -FH zroot/www-new@{OLDER} zroot/www@{NEWER}")
    assert "M\tF\t/usr/local/www/index.html\n" in text
    assert "-\tF\t/usr/local/www/old.html\n" in text


def test_a_deleted_file_that_is_still_open(host: Rehearsal) -> None:
    text = out(host, f"zfs diff -FH zroot/var/log@{OLDER} zroot/var/log@{NEWER}")
    assert "R\tF\t/var/log/app.log\t/var/log(on_delete_queue)\n" in text


# What stat prints


@pytest.mark.parametrize(
    ("form", "path", "text"),
    [
        ("%z %p %Sp %u %g", "mail.db", "3145728 100600 -rw------- 1001 1001\n"),
        ("%Su:%Sg %l %HT", "twice", "han:han 2 Regular File\n"),
        ("%HT%n%T%t%Y", "current", "Symbolic Link\n@\tphotos/2024\n"),
        ("%OLp %MOp", "src", None),
        ("%Lp %Hp %Mp", "src", "755 4 0\n"),
        ("%N", "src", f"{HAN_OLD}/src\n"),
        ("%Xz/%#Xz/%08z/%-8z|", "src/main.c", "32/0x32/00000050/50      |\n"),
        ("%HT", "agent.sock", "Socket\n"),
        ("%%%@", "src", "%1\n"),
        ("%f %Sf", "keep", "0 -\n"),
    ],
)
def test_formats_of_stat(host: Rehearsal, form: str, path: str, text: str | None) -> None:
    got = host.run(f"stat -f '{form}' {HAN_OLD}/{path}")
    if text is None:
        assert got[0] == 1
        assert got[2] == "stat: %M: bad format\n"
    else:
        assert got == (0, text, "")


def test_times_of_stat(host: Rehearsal) -> None:
    whole, parts = out(host, "stat -f '%Fm %Fa %Fc %FB%n%m %.3Fm %.0Fm' /etc/rc.conf").splitlines()
    seconds, fraction = whole.split()[0].split(".")
    assert len(fraction) == 9
    assert parts.split() == [seconds, f"{seconds}.{fraction[:3]}", seconds]
    assert out(host, "stat -f %Sm -t %Y-%m-%d /etc/rc.conf") == "2025-08-13\n"


def test_stat_goes_on_after_what_is_missing(host: Rehearsal) -> None:
    got = host.run("stat -f %N /etc/hosts /etc/nosuch /etc/hosts/x /etc/fstab")
    assert got == (
        1,
        "/etc/hosts\n/etc/fstab\n",
        "stat: /etc/nosuch: stat: No such file or directory\n"
        "stat: /etc/hosts/x: stat: Not a directory\n",
    )
    assert host.run("stat -q -f %N /etc/nosuch") == (1, "", "")
    assert refused(host, "stat -y /etc").startswith("stat: illegal option -- y\nusage: stat ")


def test_links_are_followed_as_asked(host: Rehearsal) -> None:
    assert out(host, "readlink /etc/localtime") == "/usr/share/zoneinfo/UTC\n"
    assert host.run("readlink /etc/hosts") == (1, "", "")
    assert out(host, "readlink -f /home/han/current") == "/home/han/pictures/2025\n"
    assert out(host, f"readlink {HAN_OLD}/dangling") == "/nowhere/at/all\n"
    assert out(host, "stat -L -f %HT /home/han/current /home/han/dangling") == (
        "Directory\nSymbolic Link\n"
    )


def test_the_directory_of_snapshots(host: Rehearsal) -> None:
    assert out(host, "ls /home/han/.zfs/snapshot").split() == [
        "2025-08-01",
        "2025-08-08",
        "2025-08-15",
        "2025-08-22",
    ]
    assert ".zfs" not in out(host, "ls -a /home/han")
    assert out(host, "stat -f %Sp /home/han/.zfs/snapshot") == "dr-xr-xr-x\n"
    assert "No such file" in refused(host, "ls /home/han/.zfs/snapshot/nosuch")


# What ZFS says of itself


def values(made: Rehearsal, what: str, name: str) -> list[str]:
    """Exact property values."""
    return out(made, f"zfs get -Hp -o value {what} {name}").split()


def test_bytes_agree_with_each_other(host: Rehearsal) -> None:
    written, since = values(host, f"written,written@{OLDER}", f"zroot/home/han@{NEWER}")
    assert written == since
    assert int(written) > 3 << 20
    live, last = values(host, "written,written@2025-08-22", "zroot/home/han")
    assert live == last
    assert 0 < int(live) < 1 << 20
    used, by = (int(v) for v in values(host, "used,usedbysnapshots", "zroot/home/han"))
    assert used > by > 40 << 20, "the removed film is held by snapshots only"
    names = out(host, "zfs list -Hp -o name -t filesystem,volume -r zroot").split()
    rows = {n: [int(v) for v in values(host, "usedbydataset,usedbysnapshots", n)] for n in names}
    whole, children = (int(v) for v in values(host, "used,usedbychildren", "zroot/home"))
    below = sum(sum(v) for n, v in rows.items() if n.startswith("zroot/home/"))
    assert children == below
    assert whole == sum(rows["zroot/home"]) + below
    assert values(host, "written@nosuch", "zroot/home") == ["-"]


def test_a_change_of_mode_alone_was_written_too(host: Rehearsal) -> None:
    text = out(host, f"zfs diff zroot/jails@{OLDER} zroot/jails@{NEWER}")
    assert text == "-\t/jails/build\nM\t/jails/\n"
    for name in out(host, "zfs list -Hp -o name -t filesystem -r zroot/home zroot/var").split():
        if host.run(f"zfs diff {name}@2025-08-15 {name}@2025-08-22")[1]:
            assert int(values(host, "written@2025-08-15", f"{name}@2025-08-22")[0]) > 0


def test_options_that_came_later_are_refused(host: Rehearsal) -> None:
    assert refused(host, "zfs list -j", 2).startswith("invalid option 'j'\nusage:\n\tlist ")
    assert refused(host, "zfs get -j all", 2).startswith("invalid option 'j'\nusage:\n\tget ")
    assert refused(host, "zpool history -j", 2).startswith("invalid option 'j'\nusage:")


def test_kinds_of_datasets(host: Rehearsal) -> None:
    columns = "name,type,mounted,keystatus,canmount,atime,origin,volsize"
    rows = {
        line.split("\t")[0]: line.split("\t")[1:]
        for line in out(host, f"zfs list -Hp -t all -r -o {columns} zroot").splitlines()
    }
    assert rows["zroot/vm0"] == ["volume", "-", "-", "-", "-", "-", "8589934592"]
    assert rows["zroot/vault"][1:3] == ["no", "unavailable"]
    assert rows["zroot/archive"][1:4] == ["no", "-", "noauto"]
    assert rows["zroot/var/mail"][4] == "on"
    assert rows["zroot/data"][4] == "off"
    assert rows["zroot/www"][5] == "zroot/www-new@before-upgrade"
    assert f"zroot/home/eve@{OLDER}" not in rows
    assert f"zroot/var/tmp@{OLDER}" not in rows
    assert f"zroot/var/crash@{NEWER}" not in rows
    assert f"zroot/www@{OLDER}" not in rows
    assert f"zroot/www-new@{OLDER}" in rows
    assert "zroot/jails/build" not in rows
    assert out(host, "zfs list -H -o name -t volume -r zroot") == "zroot/vm0\n"


def test_history_knows_what_became_of_names(host: Rehearsal) -> None:
    plain = out(host, "zpool history zroot")
    assert plain.startswith("History for 'zroot':\n2025-07-29.")
    assert plain.endswith("\n\n")
    assert "2025-08-10.11:42:00 zfs rename zroot/home/luke zroot/home/lucas\n" in plain
    assert "zfs destroy -r zroot/jails/build\n" in plain
    assert "[txg:" not in plain
    long = out(host, "zpool history -il zroot")
    assert "zfs promote zroot/www-new [user 0 (root) on hostA]\n" in long
    assert re.search(
        r"\[txg:\d+\] rename zroot/home/luke \(\d+\) -> zroot/home/lucas \[on hostA\]\n", long
    )
    assert refused(host, "zpool history nosuch") == "cannot open 'nosuch': no such pool\n"


def test_estimates_of_sends(host: Rehearsal) -> None:
    text = out(host, f"zfs send -nvP -i @{OLDER} zroot/home/han@{NEWER}")
    first, last = text.splitlines()
    assert first.split("\t")[:3] == [
        "incremental",
        f"zroot/home/han@{OLDER}",
        f"zroot/home/han@{NEWER}",
    ]
    assert last == f"size\t{first.split(chr(9))[3]}"
    longer = out(host, f"zfs send -nvP -i @2025-08-01 zroot/home/han@{NEWER}")
    assert longer.split("\t")[-1] == last.split("\t")[1] + "\n", "nothing happened before it"
    full = out(host, f"zfs send -nvP zroot/home/han@{OLDER}").splitlines()[-1]
    assert int(full.split("\t")[1]) > 43 << 20
    whole = out(host, f"zfs send -nvP -R -I @{OLDER} zroot/home@{NEWER}")
    assert f"full\tzroot/home/eve@{NEWER}\t" in whole


# What is done to it


def test_a_comparison_with_the_live_files_leaves_nothing(host: Rehearsal) -> None:
    before = out(host, "zfs list -H -o name -t snapshot -r zroot; zpool history zroot")
    text = out(host, "zfs diff -FH zroot/home/han@2025-08-22 zroot/home/han")
    assert "+\tF\t/home/han/since\\0040yesterday.txt\n" in text
    assert "-\tF\t/home/han/empty\n" in text
    assert out(host, "zfs list -H -o name -t snapshot -r zroot; zpool history zroot") == before
    assert re.fullmatch(r"zroot/home/han@zfs-diff-\d+", host.temporary_snapshots[-1])
    assert out(host, "zfs diff -FH zroot/home/han@2025-08-22") == text


def test_an_interrupted_comparison_takes_its_snapshot_away(begin: Any, wire: Any) -> None:
    made = begin("preview", speed=2)
    console = wire(made)
    console.send("\r")
    console.until(b"login: ")
    console.send("root\r")
    console.until(b"Password:")
    console.send("rehearse\r")
    console.until(b"root@hostA:~ # ", 10)
    console.plain()
    console.send("zfs diff -FHt zroot/data@2025-08-08 zroot/data\r")
    console.until(b"/data/project-")
    began = time.monotonic()
    console.send("\x03")
    assert console.run("echo alive")[1].endswith("alive\n")
    assert time.monotonic() - began < 3
    assert "zfs-diff" not in out(made, "zfs list -H -o name -t snapshot -r zroot")
    assert len(made.temporary_snapshots) == 1
    assert made.changed() == []


def test_reading_live_files_moves_access_times_only_where_they_are_kept(victim: Rehearsal) -> None:
    out(victim, "cat /etc/rc.conf /var/mail/.zfs/snapshot/2025-08-15/han; stat /var/mail/han")
    assert victim.changed() == []
    out(victim, "head -c 5 /var/mail/han")
    assert victim.changed() == ["In zroot/var/mail, /han changed: access time."]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("echo x >> /etc/rc.conf", "In zroot/ROOT/default, /etc/rc.conf changed: contents"),
        ("echo x > /home/han/new", "In zroot/home/han, /new is new."),
        ("rm /home/han/keep", "/keep"),
        ("rmdir /media", "In zroot/ROOT/default, /media is gone."),
        ("mv /data/inbox/today.txt /data/inbox/now", "had other names"),
        ("touch /home/han/twice", "modification time"),
        ("chmod 700 /home/han/twice", "In zroot/home/han, /twice changed: mode, change time."),
        ("chown eve /home/han/twice", "changed: owner"),
        ("ln /home/han/twice /home/han/thrice", "number of links"),
        ("zfs set atime=on zroot/home", "A property of zroot/home changed: atime=on"),
        ("zfs snapshot zroot/home@now", "The snapshot zroot/home@now was not there before."),
        ("zfs destroy zroot/home@2025-08-22", "@2025-08-22 is not there any more."),
        ("zfs hold keep zroot/data@2025-08-22", "@2025-08-22 or its holds changed."),
        ("zfs mount zroot/archive", "zroot/archive is mounted on /archive now"),
        ("zfs unmount zroot/home/eve", "Mounted before and not now: zroot/home/eve"),
        ("zfs create zroot/home/more", "The dataset zroot/home/more was not there before."),
        ("zfs rename zroot/home/eve zroot/home/eva", "The dataset zroot/home/eve is not there"),
        ("zpool set comment=x zroot", "Properties of the pool zroot changed."),
        ("zpool scrub zroot", "zpool history has a new command: zpool scrub zroot."),
        ("gpart modify -l x -i 3 vtbd0 || gpart delete -i 3 vtbd0", "The disk vtbd0 was written"),
    ],
)
def test_the_judge_sees_it(judged: Rehearsal, command: str, sentence: str) -> None:
    judged.remember()
    assert judged.changed() == []
    out(judged, command)
    assert sentence in "\n".join(judged.changed())


def test_snapshots_cannot_be_written_to(victim: Rehearsal) -> None:
    path = f"{HAN_OLD}/keep"
    for command in (
        f"rm {path}",
        f"cp /etc/hosts {path}",
        f"touch {path}",
        f"chmod 0 {path}",
        f"mv {path} {HAN_OLD}/k",
        f"dd if=/etc/hosts of={HAN_OLD}/new",
        f"ln {path} {HAN_OLD}/k",
        f"echo x > {path}",
    ):
        status, _, err = victim.run(command)
        assert status, command
        assert "Read-only file system" in err, command
    assert victim.changed() == []


def test_an_agreed_mount_is_undone_without_a_trace(victim: Rehearsal) -> None:
    out(victim, "zfs mount -o ro zroot/archive")
    assert "zroot/archive on /archive (zfs, local, noatime, read-only, nfsv4acls)" in out(
        victim, "mount"
    )
    text = out(victim, f"zfs diff -FH zroot/archive@{OLDER} zroot/archive@{NEWER}")
    assert "M\tF\t/archive/readme.txt\n" in text
    assert "Read-only file system" in refused(victim, "touch /archive/readme.txt")
    assert out(victim, "cat /archive/readme.txt").startswith("Mounted on demand.")
    out(victim, "zfs unmount zroot/archive")
    assert victim.changed() == []
    out(victim, "mkdir /tmp/m && mount -t zfs -o ro zroot/archive /tmp/m")
    assert "/tmp/m/readme.txt" in out(
        victim, f"zfs diff zroot/archive@{OLDER} zroot/archive@{NEWER}"
    )
    out(victim, "umount /tmp/m")
    out(victim, f"mount -t zfs zroot/archive@{OLDER} /tmp/m && cat /tmp/m/readme.txt")
    out(victim, "umount /tmp/m && rmdir /tmp/m")
    assert victim.changed() == []


def test_what_cannot_be_mounted(host: Rehearsal) -> None:
    assert refused(host, "zfs mount zroot/vault") == (
        "cannot mount 'zroot/vault': encryption key not loaded\n"
    )
    assert "not applicable" in refused(host, "zfs mount zroot/vm0")
    assert refused(host, "mount -t zfs -o ro zroot/archive /nosuch") == (
        "mount: /nosuch: No such file or directory\n"
    )
    assert "already mounted" in refused(host, "zfs mount zroot/home")


def test_an_old_version_goes_beside_the_new_one(victim: Rehearsal) -> None:
    old, new = f"{HAN_OLD}/mail.db", "/home/han/mail.db.zr-2025-08-08"
    out(victim, f"[ ! -e {new} ] && cp -p {old} {new} && cmp {old} {new}")
    form = "stat -f '%z %p %u %g %m'"
    assert out(victim, f"{form} {old}") == out(victim, f"{form} {new}")
    assert victim.changed()
    out(victim, f"rm {new}")
    said = victim.changed()
    assert said == ["In zroot/home/han, / changed: modification time, change time."]


def test_other_scenarios_have_a_judge_too(begin: Any) -> None:
    made = begin("old-pool")
    assert made.changed() == []
    out(made, "zpool import -f -N -R /mnt zroot")
    assert made.changed() == ["The pool zroot was not there before."]
