"""The settings of a restored system are mended: a real sh, real files, and the operator's word."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.realsh import RealShell
from zrwizard.console.errors import Cancelled
from zrwizard.plan import Mend, Phase, Step, from_json, typed_text
from zrwizard.plan import Plan as Whole
from zrwizard.run.events import Answered, Event, Note, Typed
from zrwizard.run.mender import Mender
from zrwizard.run.outcome import StepError
from zrwizard.run.telling import Teller

FSTAB = "# d\n/dev/ada0p1 /boot/efi msdosfs rw 2 2\n/dev/ada0p2\tnone\tswap\tsw\t0\t0\n"
MENDED = FSTAB.replace("ada0p1", "gpt/efiboot0").replace("ada0p2", "gpt/swap0")
RC = 'hostname="it\'s $HOME"\nifconfig_em0="DHCP"\nzfs_enable="YES"\n# wlan_key=SESAME\n'


class Bench:
    """A restored system below `root`, and an operator who says `words` one after the other."""

    def __init__(self, tmp: Path) -> None:
        self.tmp = tmp
        self.root = tmp / "a root"
        for name, text in {
            "etc/fstab": FSTAB,
            "etc/rc.conf": RC,
            "boot/loader.conf": 'zfs_load="YES"\n',
            "etc/pf.conf": "ext_if = em0\n",
            "etc/zfs/zpool.cache": "\x01\x02 ada0p3",
        }.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (self.root / "etc/rc.conf").chmod(0o640)
        self.events: list[Event] = []
        self.asked: list[tuple[str, str, str]] = []
        self.words: list[bool | None] = []
        self.cancel = threading.Event()

    def agree(self, path: str, reasons: str, shown: str) -> bool | None:
        self.asked.append((path, reasons, shown))
        return self.words.pop(0)

    renew = False

    def action(self, policy: str = "ask") -> Mend:
        mark = self.tmp / "mounted"
        return Mend(
            root=str(self.root),
            before=f"[ ! -e '{mark}' ] || exit 1\n: > '{mark}'",
            after=f"rm '{mark}'",
            policy=policy,
            suffix=".zr-abcd",
            boot="zroot/ROOT/default",
            nic="vtnet0",
            nics=("vtnet0",),
            others=(),
            swap=("/dev/gpt/swap0",),
            esp=("/dev/gpt/efiboot0",),
            renew=self.renew,
        )

    def mend(self, policy: str = "ask") -> None:
        step = Step("mend", Phase.BOOT, "Fit it", "because", self.action(policy))
        teller = Teller(RealShell(self.tmp), self.events.append)
        Mender(teller, step, self.action(policy), self.agree, self.cancel).mend()
        assert not (self.tmp / "mounted").exists()

    def text(self, name: str) -> str:
        return (self.root / name).read_text()

    def told(self, kind: type[Event]) -> str:
        names = {Typed: "text", Answered: "output", Note: "text"}
        return "\n".join(getattr(e, names[kind]) for e in self.events if isinstance(e, kind))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_each_file_is_asked_about_and_written(bench: Bench) -> None:
    bench.words = [True, True, True]
    bench.mend()
    assert bench.text("etc/fstab") == MENDED
    assert bench.text("etc/fstab.zr-abcd") == FSTAB
    assert bench.text("etc/rc.conf") == RC.replace("em0", "vtnet0")
    assert (bench.root / "etc/rc.conf").stat().st_mode & 0o777 == 0o640
    assert not (bench.root / "etc/zfs/zpool.cache").exists()
    assert (bench.root / "etc/zfs/zpool.cache.zr-abcd").exists()
    assert bench.text("boot/loader.conf") == 'zfs_load="YES"\n'
    assert not (bench.root / "boot/loader.conf.zr-abcd").exists()
    assert [path for path, _, _ in bench.asked] == [
        *("/etc/fstab", "/etc/rc.conf", "/etc/zfs/zpool.cache")
    ]
    assert "-/dev/ada0p2" in bench.asked[0][2]
    assert "ada0p2 is /dev/gpt/swap0 now" in bench.asked[0][1]
    assert "em0 is a name of the old machine and still stands in /etc/pf.conf" in bench.told(Note)


def test_what_is_refused_stays_and_is_told(bench: Bench) -> None:
    bench.words = [False, True, False]
    bench.mend()
    assert bench.text("etc/fstab") == FSTAB
    assert bench.text("etc/rc.conf") == RC.replace("em0", "vtnet0")
    assert (bench.root / "etc/zfs/zpool.cache").exists()
    assert "/etc/fstab was left as it is, as the operator wanted" in bench.told(Note)
    assert "+/dev/gpt/swap0" not in bench.told(Note)


def test_where_nobody_is_there_nothing_is_written(bench: Bench) -> None:
    bench.words = [None, None, None]
    bench.mend()
    assert bench.text("etc/fstab") == FSTAB
    assert bench.text("etc/rc.conf") == RC
    assert "target.mend = write" in bench.told(Note)
    assert "+/dev/gpt/swap0" in bench.told(Note)


@pytest.mark.parametrize(("policy", "fstab"), [("write", MENDED), ("leave", FSTAB)])
def test_what_was_said_beforehand_is_not_asked(bench: Bench, policy: str, fstab: str) -> None:
    bench.mend(policy)
    assert bench.asked == []
    assert bench.text("etc/fstab") == fstab


def test_a_second_time_there_is_nothing_to_do(bench: Bench) -> None:
    bench.mend("write")
    bench.events.clear()
    bench.mend()
    assert bench.asked == []
    assert "nothing had to be changed" in bench.told(Answered)


def test_no_more_of_a_file_is_told_than_what_changes(bench: Bench) -> None:
    bench.words = [True, True, True]
    bench.mend()
    assert "SESAME" not in repr(bench.events) + repr(bench.asked)


def test_what_is_no_text_is_left_and_named(bench: Bench) -> None:
    (bench.root / "etc/rc.conf").write_bytes(b'# caf\xe9\nifconfig_em0="DHCP"\n')
    bench.mend("write")
    assert (bench.root / "etc/rc.conf").read_bytes() == b'# caf\xe9\nifconfig_em0="DHCP"\n'
    assert "/etc/rc.conf is left as it is: it is no UTF-8 text" in bench.told(Note)
    assert "There is no /etc/rc.conf" not in bench.told(Note)
    assert bench.text("etc/fstab") == MENDED


def test_a_link_is_not_followed(bench: Bench) -> None:
    (bench.root / "etc/fstab").rename(bench.root / "etc/real")
    (bench.root / "etc/fstab").symlink_to("real")
    bench.words = [True, True]
    bench.mend()
    assert bench.text("etc/real") == FSTAB
    assert "There is no /etc/fstab" in bench.told(Note)


def test_a_file_that_was_changed_meanwhile_is_not_overwritten(bench: Bench) -> None:
    def agree(path: str, _reasons: str, _shown: str) -> bool:
        if path == "/etc/fstab":
            (bench.root / "etc/fstab").write_text("by hand\n")
        return True

    bench.agree = agree  # type: ignore[method-assign]
    with pytest.raises(StepError) as error:
        bench.mend()
    assert "is not the text that it was" in error.value.what
    assert bench.text("etc/fstab") == "by hand\n"


def test_a_cancel_at_the_question_writes_nothing(bench: Bench) -> None:
    def agree(*_: str) -> bool:
        bench.cancel.set()
        return True

    bench.agree = agree  # type: ignore[method-assign]
    with pytest.raises(Cancelled):
        bench.mend()
    assert bench.text("etc/fstab") == FSTAB


def test_it_is_read_back_from_a_plan(bench: Bench) -> None:
    action = replace(bench.action(), serial="ttyu0", console=(("boot_serial", "YES"),), renew=True)
    step = Step("mend", Phase.BOOT, "Fit it", "because", action)
    plan = Whole("restore", "abcd1234", "x", (step,), ())
    assert from_json(plan.to_json()) == plan


def test_what_is_put_aside_unasked_stands_in_the_plan(bench: Bench) -> None:
    assert "hostid" not in typed_text(bench.action())
    bench.renew = True
    assert f"# put {bench.root}/etc/hostid and machine-id aside" in typed_text(bench.action())


@pytest.mark.parametrize("policy", ["write", "leave"])
@pytest.mark.parametrize("renew", [True, False], ids=["new", "kept"])
def test_the_hostid_is_kept_or_made_new(bench: Bench, policy: str, *, renew: bool) -> None:
    (bench.root / "etc/hostid").write_text("f83a9e2f-bd87-11ef-95b7-000c29761cd2\n")
    bench.renew = renew
    bench.mend(policy)
    assert (bench.root / "etc/hostid").exists() != renew
    assert (bench.root / "etc/hostid.zr-abcd").exists() == renew
    assert ("/etc/hostid was put aside" in bench.told(Answered)) == renew
    assert not bench.asked
