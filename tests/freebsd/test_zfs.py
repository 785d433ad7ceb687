"""zfs(8): trees, estimates, receive logs, what a stream will bring."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.listing import dataset, snapshot
from zrwizard.freebsd import ParseError, cksum, inventory, tree, zfs, zfs_receive, zfs_send
from zrwizard.freebsd.inventory import Inventory

Recorded = Callable[..., str]


TREE = (
    dataset("tank/hostA", createtxg=1, guid=1)
    + snapshot("tank/hostA@a", 10, 11)
    + snapshot("tank/hostA@b", 20, 12)
    + snapshot("tank/hostA@c", 30, 13)
    + dataset("tank/hostA/ROOT", createtxg=2, guid=2)
    + snapshot("tank/hostA/ROOT@a", 10, 21)
    + snapshot("tank/hostA/ROOT@b", 20, 22)
    + snapshot("tank/hostA/ROOT@c", 30, 23)
    + dataset("tank/hostA/ROOT/deep", createtxg=3, guid=3)
    + snapshot("tank/hostA/ROOT/deep@old", 5, 31)
    + snapshot("tank/hostA/ROOT/deep@a", 10, 32)
    + snapshot("tank/hostA/ROOT/deep@b", 20, 33)
    + snapshot("tank/hostA/ROOT/deep@c", 30, 34)
    + dataset("tank/hostA/ROOT/late", createtxg=25, guid=4, origin="tank/hostA/ROOT/deep@b")
    + snapshot("tank/hostA/ROOT/late@c", 30, 41)
    + dataset("tank/hostA/with space", createtxg=4, guid=5, type="volume")
    + snapshot("tank/hostA/with space@a", 10, 51)
    + snapshot("tank/hostA/with space@c", 30, 52)
    + dataset("tank/hostAB", createtxg=4, guid=6)
    + snapshot("tank/hostAB@b", 20, 61)
)


@pytest.fixture(scope="module")
def found() -> Inventory:
    return inventory.parse(TREE.split("\n"))


# --- listings ---------------------------------------------------------------------------------


def test_rows(found: Inventory) -> None:
    assert list(found)[-2:] == ["tank/hostA/with space", "tank/hostAB"]
    late = found["tank/hostA/ROOT/late"]
    assert (late.origin, late.kind, late.root) == ("tank/hostA/ROOT/deep@b", "filesystem", None)
    assert (late.mountpoint, late.canmount, late.txg) == ("/m", "on", 25)
    first = found["tank/hostA"].snapshots
    assert (first.tags[0], first.guids[0], first.made[0]) == ("a", 11, 1010)


def test_what_a_copy_takes() -> None:
    rows = (
        dataset("p", usedbydataset=100, usedbysnapshots=20, compressratio="2.50"),
        dataset("p/off", usedbydataset=100, compression="off", compressratio="2.50x"),
        dataset("p/vol", type="volume", usedbydataset=5, usedbyrefreservation=1000),
    )
    sizes = [(row.size, row.grows, row.reserved) for row in inventory.parse(rows).values()]
    assert sizes == [(120, 1.0, 0), (100, 2.5, 0), (5, 1.0, 1000)]


def test_roots_and_guids(recorded: Recorded) -> None:
    assert zfs.parse_roots("tank\t21147648\t1795294164\n") == (
        zfs.Root("tank", 21147648, 1795294164),
    )
    assert zfs.parse_roots("") == ()
    rows = recorded("zfs list -t snapshot -Hp -o name,guid,createtxg,used,refer,creation -r bak")
    two = "".join("\t".join(row.split("\t")[:2]) + "\n" for row in rows.splitlines())
    assert zfs.parse_guids(two)["bak/copy@one"] == 1282028879276340070


def test_values(recorded: Recorded) -> None:
    token = zfs.parse_value(recorded("zfs get -Hp -o value receive_resume_token bak/part"))
    assert token is not None
    assert token.startswith("1-b4d42ad0a-c0-")
    assert zfs.parse_value("-\n") is None
    assert zfs.parse_used("336384\n") == 336384
    (row,) = zfs.parse_properties("zroot\tmountpoint\t/mnt\tinherited from a b\n")
    assert row == zfs.Property("zroot", "mountpoint", "/mnt", "inherited from a b")


def test_version(recorded: Recorded) -> None:
    assert zfs.parse_version(recorded("zfs version")) == (2, 1, 99)
    assert zfs.parse_version("zfs-2.4.0-rc4-FreeBSD_g1\nzfs-kmod-2.2.7-1\n") == (2, 2, 7)
    with pytest.raises(ParseError):
        zfs.parse_version("sh: zfs: not found\n")


# --- reasoning over a tree --------------------------------------------------------------------


def test_complete_snapshots(found: Inventory) -> None:
    rows = tree.snapshot_sets(found, "tank/hostA")
    sets = {row.tag: row for row in rows}
    assert list(sets) == ["c", "b", "a", "old"]
    assert sets["c"].complete
    assert sets["b"].missing == ("tank/hostA/ROOT/late", "tank/hostA/with space")
    assert sets["b"].later == ("tank/hostA/ROOT/late",)
    assert sets["a"].missing == ("tank/hostA/ROOT/late",)
    assert "tank/hostA" in sets["old"].missing
    newest = tree.newest_complete(rows)
    assert newest is not None
    assert (newest.tag, newest.creation) == ("c", 1030)
    assert newest.referenced == 250
    assert tree.newest_complete(tree.snapshot_sets(found, "nosuch")) is None


def test_boot_environments(found: Inventory) -> None:
    names = [row.name for row in tree.boot_environments(found, "tank/hostA", "c")]
    assert names == ["deep", "late"]
    (deep,) = tree.boot_environments(found, "tank/hostA", "b")
    assert (deep.dataset, deep.guid) == ("tank/hostA/ROOT/deep", 33)


def test_what_is_expected(found: Inventory) -> None:
    sent = {"tank/hostA": range(2), "tank/hostA/ROOT": range(2), "tank/hostA/ROOT/deep": [0, 2]}
    assert tree.expected_names(sent, "tank/hostA", "zroot") == (
        "zroot", "zroot/ROOT", "zroot/ROOT/deep",
    )  # fmt: skip
    assert tree.expected_guids(found, sent, "tank/hostA", "zroot") == (
        ("zroot/ROOT/deep@b", 33),
        ("zroot/ROOT/deep@old", 31),
        ("zroot/ROOT@a", 21),
        ("zroot/ROOT@b", 22),
        ("zroot@a", 11),
        ("zroot@b", 12),
    )


def test_the_recorded_copy_has_the_expected_guids(recorded: Recorded) -> None:
    """bak/copy and bak/copy2 were received from the same stream, so one foretells the other."""
    rows = recorded("zfs list -t snapshot -Hp -o name,guid,createtxg,used,refer,creation -r bak")
    source, copied = "", []
    for row in rows.splitlines():
        name, guid, txg, *_ = row.split("\t")
        if tree.below(name.partition("@")[0], "bak/copy"):
            source += snapshot(name, int(txg), int(guid))
        if tree.below(name.partition("@")[0], "bak/copy2"):
            copied.append(f"{name}\t{guid}\n".encode())
    names = sorted({row.split("\t")[0].partition("@")[0] for row in source.splitlines()})
    source = "".join(map(dataset, names)) + source
    found = inventory.parse(source.split("\n"))
    sent = {name: range(len(row.snapshots.tags)) for name, row in found.items()}
    # txgs of a copy are not those of one atomic snapshot; @two is the last in each dataset.
    text = tree.guid_text(tree.expected_guids(found, sent, "bak/copy", "bak/copy2"))
    assert text == b"".join(sorted(copied))
    done = subprocess.run(
        ["sh", "-c", "LC_ALL=C sort | cksum"],
        input=b"".join(copied),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().strip() == str(cksum.of(text))


def test_renaming_stays_inside() -> None:
    assert tree.renamed("a/b@s", "a", "z/y") == "z/y/b@s"
    with pytest.raises(ValueError, match="does not lie"):
        tree.renamed("ab@s", "a", "z")


# --- cksum ------------------------------------------------------------------------------------


def test_checksum_as_recorded(recorded: Recorded) -> None:
    command = "echo -n abc | cksum; echo -n abc | sha256; echo -n abc | b64encode -r x; "
    command += "echo YWJj | b64decode -r"
    assert cksum.parse(recorded(command).splitlines()[0]) == cksum.of(b"abc")
    assert str(cksum.of(b"abc")) == "1219131554 3"
    assert str(cksum.of(b"")) == "4294967295 0"


@pytest.mark.parametrize("data", [b"\0" * 300, bytes(range(256)) * 300, b"zroot@a\t1\n"])
def test_checksum_against_the_real_tool(data: bytes) -> None:
    done = subprocess.run(["cksum"], input=data, capture_output=True, check=True)
    assert cksum.parse(done.stdout.decode()) == cksum.of(data)


@pytest.mark.parametrize("text", ["", "x", "1 2\n3 4\n", "99999999999 1"])
def test_checksum_nonsense(text: str) -> None:
    with pytest.raises(ParseError):
        cksum.parse(text)


# --- send -------------------------------------------------------------------------------------


def test_estimate_in_bytes(recorded: Recorded) -> None:
    found = zfs_send.parse_estimate(recorded("zfs send -nvP -R zroot@two"))
    assert (found.total, len(found.streams), found.exact_digits) == (94016, 12, True)
    assert found.streams[1] == zfs_send.StreamEstimate("zroot@two", "one", 624)
    assert sum(stream.bytes for stream in found.streams) == found.total


def test_estimate_for_people(recorded: Recorded) -> None:
    found = zfs_send.parse_estimate(recorded("zfs send -nv -R zroot@two"))
    assert (found.total, len(found.streams), found.exact_digits) == (94003, 12, False)
    assert found.streams[1] == zfs_send.StreamEstimate("zroot@two", "@one", 624)


def test_estimate_without_sizes() -> None:
    found = zfs_send.parse_estimate("full\ta@s\nincremental\ts\ta@t\nsize\t0\n")
    assert [stream.bytes for stream in found.streams] == [0, 0]
    assert zfs_send.parse_estimate("full send of a@s\ntotal estimated size is 0\n").total == 0


@pytest.mark.parametrize("text", ["", "full\ta@s\t5\n", "size\tx\n", "hello\nsize\t1\n"])
def test_estimate_nonsense(text: str) -> None:
    with pytest.raises(ParseError):
        zfs_send.parse_estimate(text)


# --- receive ----------------------------------------------------------------------------------

LOG_13 = """\
receiving full stream of tank@s into rx@s
received 46.0K stream in 1 seconds (46.0K/sec)
receiving incremental stream of tank/a into b@s into rx/a into b@s
received 1.20G stream in 12 seconds (102M/sec)
"""


def test_log_as_recorded(recorded: Recorded) -> None:
    log = zfs_receive.parse_log(recorded("zfs send -R zroot@two | zfs receive -v -Fu bak/copy"))
    assert len(log.finished) == 12
    assert log.current is None
    assert log.finished[-1] == zfs_receive.Received(
        zfs_receive.Receiving("zroot/usr/home@two", "bak/copy/usr/home@two", True), 22937, 0.26
    )
    assert log.other == ()


def test_log_of_13_and_a_name_with_the_word_into() -> None:
    log = zfs_receive.parse_log(LOG_13)
    assert [done.seconds for done in log.finished] == [1.0, 12.0]
    assert log.finished[1].stream.target == "rx/a into b@s"
    assert log.bytes == 47104 + 1288490188


def test_log_of_22_with_its_glitch() -> None:
    for glitch in ("receiving  correctivefull", "receiving corrective full", "would receive full"):
        log = zfs_receive.parse_log(f"{glitch} stream of a@s into b@s\n")
        assert log.current == zfs_receive.Receiving("a@s", "b@s", False)


def test_log_keeps_complaints_and_noise() -> None:
    text = (
        "ZFS filesystem version: 5\nreceiving full stream of a@s into b@s\n"
        "GEOM_ELI: Device da0.eli created.\ncannot receive: failed to read from stream\n"
    )
    log = zfs_receive.parse_log(text)
    assert log.current is not None
    assert log.other[-1] == "cannot receive: failed to read from stream"


@given(st.lists(st.integers(0, len(LOG_13)), max_size=8))
def test_log_fed_in_any_pieces_is_the_same(cuts: list[int]) -> None:
    log = zfs_receive.ReceiveLog()
    start = 0
    for cut in [*sorted(cuts), len(LOG_13)]:
        log = log.feed(LOG_13[start:cut])
        start = cut
    assert log == zfs_receive.ReceiveLog().feed(LOG_13)


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("zfs send zroot/usr/home@two | zfs receive bak/copy/usr/home", "exists"),
        ("zfs send -i @one zroot/usr/home@two | zfs receive bak/copy2", "exists"),
        ("zfs send zroot/usr/home@three | head -c 9000000 | zfs receive -s -u bak/part",
         "cut off"),
        ("echo garbage | zfs receive bak/x", "nothing arrived"),
        ("ssh -o ControlPath=/tmp/cm root@10.99.0.2 'zfs send tank@nosuch' | "
         "zfs receive -v rx/y", "no such dataset"),
    ],
)  # fmt: skip
def test_recorded_complaints(recorded: Recorded, command: str, kind: str) -> None:
    found = zfs_receive.explain(recorded(command, part="stderr"))
    assert found is not None
    assert found.kind == kind
    assert "{" not in found.what + found.now


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("destination has snapshots (eg. p/x@a)\nmust destroy them to overwrite it",
         "has snapshots"),
        ("cannot receive incremental stream: most recent snapshot of p/x does not\n"
         "match incremental source", "does not match"),
        ("destination p/x has been modified\nsince most recent snapshot", "modified"),
        ("destination 'p/x' does not exist", "no base"),
        ("parent 'p' is not a filesystem", "no base"),
        ('destination p/x contains partially-complete state from "zfs receive -s".',
         "partial state"),
        ("cannot receive new filesystem stream: out of space", "out of space"),
        ("destination p/x space quota exceeded.", "out of space"),
        ("cannot receive: dataset is busy", "busy"),
        ("cannot receive: incomplete stream", "cut off"),
        ("cannot receive: checksum mismatch", "damaged"),
        ("cannot receive: invalid stream (bad magic number)", "not a stream"),
        ("kernel modules must be upgraded to receive this stream.", "too new"),
        ("stream has unsupported feature, feature flags = 1c", "too new"),
        ("inherited key must be loaded", "encryption"),
        ("WARNING: could not send p/x@s: does not exist\ncannot receive: incomplete stream",
         "snapshot missing on a child"),
        ("encrypted dataset p/e may not be sent with properties without the raw flag",
         "encrypted"),
        ("client_loop: send disconnect: Broken pipe\ncannot receive: incomplete stream",
         "disconnected"),
        ("ssh: connect to host h port 22: Connection refused\n"
         "cannot receive: failed to read from stream", "refused"),
        ("warning: cannot send 'p@s': Broken pipe", "receiver left"),
        ("all is well", None),
    ],
)  # fmt: skip
def test_other_complaints(text: str, kind: str | None) -> None:
    found = zfs_receive.explain(text)
    assert (found.kind if found else None) == kind


def test_send_complaints() -> None:
    found = zfs_send.explain(
        "encrypted dataset p/e may not be sent with properties without the raw flag\n"
    )
    assert found is not None
    assert (found.kind, "p/e" in found.what) == ("encrypted", True)
