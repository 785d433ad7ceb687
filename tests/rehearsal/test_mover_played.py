"""A network that fails under a transfer of one stream a dataset, and the mover that survives it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

import pytest

from zrwizard.rehearsal import Rehearsal, Start, variant
from zrwizard.rehearsal.scenario import Cut
from zrwizard.rehearsal.zfsstate import Dataset

MIB = 1 << 20
WHERE = "/tmp/z/mover"
TAG = "2025-08-08-deep"
CONFIG = (
    "Host backup\\n HostName 10.0.2.2\\n Port 2223\\n User root\\n ControlPath /tmp/z/cm\\n "
    "IdentityFile /tmp/z/id\\n UserKnownHostsFile /tmp/z/kh\\n StrictHostKeyChecking yes\\n "
    "ConnectTimeout 10\\n ServerAliveInterval 15\\n"
)
SETTINGS = {
    "direction": "pull",
    "ssh": "'ssh -F /tmp/z/config -o BatchMode=yes'",
    "host": "backup",
    "shared": "yes",
    "received": "no",
    "options": "'-L -c -e'",
    "limit": "0",
    "patience": "600",
    "idle": "60",
    "answer": "30",
    "grace": "10",
    "tick": "10",
    "first": "10",
    "longest": "100",
}


@dataclass
class Target:
    """The machine that receives, with an empty pool and a login by key."""

    made: Rehearsal

    def out(self, text: str) -> str:
        status, out, err = self.made.run(text)
        assert status == 0, (text, status, out, err)
        return out

    def write(self, path: str, text: str) -> None:
        self.made.inside(lambda: self.made.target.fs_for("/tmp")[0].write_file(path, text.encode()))

    def start(self, **settings: str) -> None:
        """Begin as a detached job, as the wizard's do."""
        lines = (SETTINGS | settings).items()
        self.write("/z/mover/settings", "".join(f"{k}={v}\n" for k, v in lines))
        self.write(
            "/z/mover/run",
            f"cd {WHERE} || exit 1\nrm -f rc\necho $$ > pid\n(\nsh {WHERE}/mover.sh {WHERE}\n"
            ") > job.log 2>&1 < /dev/null\necho $? > rc.new && mv rc.new rc\n",
        )
        self.out(f"daemon -f sh {WHERE}/run")

    def wait(self, seconds: float = 40.0) -> int:
        """The status that the mover ends with."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status, out, _ = self.made.run(f"cat {WHERE}/rc 2>/dev/null")
            if status == 0 and out.strip():
                return int(out)
            time.sleep(0.05)
        raise AssertionError(self.out(f"cat {WHERE}/log {WHERE}/state {WHERE}/job.log"))

    def reach(self, size: int) -> None:
        """Wait until so many bytes have come."""
        deadline = time.monotonic() + 30
        while self.made.target.nics[0].ibytes < size:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    @property
    def log(self) -> str:
        return self.out(f"cat {WHERE}/log")

    @property
    def state(self) -> list[str]:
        return self.out(f"cat {WHERE}/state").split("\n")

    def wanted(self) -> list[tuple[str, str]]:
        """Name and guid of every snapshot that belongs to it."""
        return [
            (f"zroot{name.removeprefix('hostA')}", guid)
            for name, guid in self.listed(self.made.server.pools["hostA"].ordered(), "hostA")
            if "2025-08-15" not in name
        ]

    def listed(self, datasets: list[Dataset], pool: str) -> list[tuple[str, str]]:
        return sorted(
            (f"{pool}/{ds.rel}@{s.name}".replace("/@", "@"), str(s.guid))
            for ds in datasets
            for s in ds.snapshots
        )

    def whole(self) -> bool:
        """Is exactly that there?"""
        there = self.made.target.pools["zroot"].ordered()
        clone = self.made.target.pools["zroot"].datasets[f"ROOT/{TAG}"]
        return (
            self.listed(there, "zroot") == self.wanted()
            and clone.origin == "zroot/ROOT/default@2025-08-08-14:30:56-0"
        )


def rows(made: Rehearsal) -> str:
    """The list: parents first, the clone after its origin, all history up to the tag."""
    pool = made.server.pools["hostA"]
    text = ""
    for ds in sorted(pool.ordered(), key=lambda d: bool(d.origin)):
        tags = [s.name for s in ds.snapshots]
        points = list(dict.fromkeys((tags[0], TAG)))
        last = ds.snapshot(TAG)
        assert last is not None
        name = pool.full(ds)
        target = name.replace("hostA", "zroot", 1)
        text += "\t".join(
            ("stream", name, target, ds.origin or "-", ",".join(points), "every", "plain", "one")
        )
        text += f"\t{last.guid}\t{last.referenced}\n"
    return text


@pytest.fixture
def target(begin: Any) -> Target:
    made = begin(variant("restore", start=Start.PLAIN), speed=200)
    here = Target(made)
    deadline = time.monotonic() + 20
    while made.state == "booting" and time.monotonic() < deadline:
        time.sleep(0.05)
    here.out(f"dhclient em0; mkdir -p {WHERE}; : >{WHERE}/mover.sh")
    here.out(f"printf '{CONFIG}' >/tmp/z/config")
    here.write("/z/id", made.private_key)
    here.out("chmod 600 /tmp/z/id; ssh-keyscan -T 10 -p 2223 10.0.2.2 >/tmp/z/kh")
    here.out(
        "gpart create -s gpt vtbd0 && gpart add -l zfs0 -t freebsd-zfs vtbd0 && kldload -n zfs && "
        "zpool create -o altroot=/mnt -o ashift=12 -m none zroot gpt/zfs0"
    )
    here.write("/z/mover/list", rows(made))
    return here


def test_every_dataset_comes_by_its_own_stream(target: Target) -> None:
    target.start()
    assert target.wait() == 0, target.log
    assert target.whole()
    phase, number, count, *_ = target.state[0].split()
    assert (phase, number, count) == ("ended", "18", "18")
    assert target.out("zfs get -Hp -o value,source canmount zroot/ROOT/default") == (
        "noauto\treceived\n"
    )
    before = target.made.target.nics[0].ibytes
    target.start()
    assert target.wait() == 0
    assert target.made.target.nics[0].ibytes - before < MIB, "what is there is not sent again"


@pytest.mark.parametrize(
    "cuts",
    [
        (Cut(20 * MIB),),
        (Cut(300 * MIB), Cut(1), Cut(200 * MIB), Cut(100 * MIB)),
        (Cut(1),),
    ],
    ids=["once", "again-and-again", "at-once"],
)
def test_after_a_cut_it_goes_on_where_it_was(target: Target, cuts: tuple[Cut, ...]) -> None:
    target.made.cut_after(*cuts)
    target.start()
    assert target.wait() == 0, target.log
    assert target.whole()
    assert target.made.target.cuts == []
    assert "client_loop: send disconnect: Broken pipe" in target.log
    assert int(target.state[0].split()[-1]) >= len(cuts)
    assert target.made.target.nics[0].ibytes < 1.1 * 2**30, "nothing was sent twice"


def test_a_hung_link_is_told_from_a_slow_one(target: Target) -> None:
    target.made.cut_after(Cut(200 * MIB, hang=400))
    target.start()
    assert target.wait() == 0, target.log
    assert re.search("Timeout, server 10.0.2.2 not|The other side does not answer", target.log)
    assert target.whole()


def test_killed_and_started_again(target: Target) -> None:
    target.made.inside(lambda: setattr(target.made.server, "send_rate", 10e6))
    target.start()
    target.reach(200 * MIB)
    target.out(f"kill $(cat {WHERE}/pid)")
    target.made.inside(lambda: setattr(target.made.server, "send_rate", 60e6))
    assert target.out("zfs get -Hp -r -o value receive_resume_token zroot").count("1-") == 1
    target.start()
    assert target.wait() == 0, target.log
    assert target.whole()


@pytest.mark.parametrize(
    ("happens", "status"),
    [
        ("zfs destroy hostA/home@{tag}; zfs snapshot hostA/home@{tag}", 10),
        ("zfs destroy hostA/home@{tag}", 11),
    ],
    ids=["changed", "pruned"],
)
def test_a_source_that_is_not_what_was_planned(target: Target, happens: str, status: int) -> None:
    target.out(f"ssh -F /tmp/z/config backup '{happens.format(tag=TAG)}'")
    target.start()
    assert target.wait() == status


def test_a_changed_host_key_ends_it(target: Target) -> None:
    target.made.change_host_key()
    target.start()
    assert target.wait() == 16


def test_a_login_that_is_refused_ends_it(target: Target) -> None:
    target.made.inside(target.made.door.authorized.clear)
    target.start()
    assert target.wait() == 17


def test_no_space_ends_it(target: Target) -> None:
    pool = target.made.target.pools["zroot"]
    target.made.inside(lambda: setattr(pool, "size", 512 * MIB))
    target.start()
    assert target.wait() == 13
    assert "cannot receive new filesystem stream: out of space" in target.log


def test_patience_ends(target: Target) -> None:
    target.made.refuse()
    target.start(patience="20")
    assert target.wait() == 15


def test_pause_and_go_on(target: Target) -> None:
    target.made.inside(lambda: setattr(target.made.server, "send_rate", 20e6))
    target.start()
    target.reach(100 * MIB)
    target.out(f": >{WHERE}/pause")
    deadline = time.monotonic() + 20
    while not target.state[0].startswith("paused"):
        assert time.monotonic() < deadline, target.log
    target.out(f"rm {WHERE}/pause")
    assert target.wait() == 0, target.log
    assert target.whole()


def test_a_tree_comes_whole_or_again_and_gets_its_name_in_the_end(target: Target) -> None:
    both = [line.split("\t") for line in rows(target.made).splitlines()][:1]
    home = target.made.server.pools["hostA"].datasets["home"].snapshot(TAG)
    assert home is not None
    tree = ["stream", "hostA/home", "zroot/home", "-", TAG, "every", "plain", "tree"]
    both += [[*tree, str(home.guid), "1"], ["rename", "zroot/home", "zroot/people"]]
    target.write("/z/mover/list", "".join("\t".join(row) + "\n" for row in both))
    target.made.cut_after(Cut(200_000))
    target.start()
    assert target.wait() == 0, target.log
    assert "zroot/home is destroyed and sent again" in target.log
    names = target.out("zfs list -H -o name -r zroot").split()
    assert names == ["zroot", *(f"zroot/people{rest}" for rest in ("", "/han", "/jpb", "/luke"))]
    assert target.state[1:] == ["-", "All 2 datasets are there.", ""]
    target.start()
    assert target.wait() == 0, target.log
    assert target.out("zfs list -H -o name -r zroot").split() == names


def test_a_token_that_went_stale_is_given_up(target: Target) -> None:
    target.made.inside(lambda: setattr(target.made.server, "send_rate", 10e6))
    target.start()
    target.reach(200 * MIB)
    target.out(f"kill $(cat {WHERE}/pid)")
    target.made.inside(lambda: setattr(target.made.server, "send_rate", 60e6))
    where = "zroot/ROOT/default"
    assert target.out(f"zfs get -Hp -o value receive_resume_token {where}").startswith("1-")
    target.out(
        "ssh -F /tmp/z/config backup 'zfs destroy -R hostA/ROOT/default@2025-08-08-14:30:56-0'"
    )
    text = rows(target.made)
    assert "ROOT/2025-08-08-deep" not in text
    target.write("/z/mover/list", text)
    target.start()
    assert target.wait() == 0, target.log
    assert "used in the initial send no longer exists" in target.log
    assert f"{where} goes on from its newest snapshot" in target.log
