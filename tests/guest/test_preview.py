"""The preview on real OpenZFS, by the console of hostB: what it says is what a comparison file by
file finds, and nothing is written.

The trees are made by `past.py` and `changes.py`, by five seeds; `compare.py` reads both snapshots
of every dataset and says what the preview must say.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from zrwizard.preview.events import Coverage, DatasetEnded, Estimated, Found
from zrwizard.shell.readonly import NotReadOnly

from . import compare, conftest, past
from .agreement import Laid, contents_agree, estimates_agree, fates, fetched, sizes_agree
from .hands import Command, Hand, changes_of
from .machines import Guest
from .past import NEWER, OLDER, POOL
from .untouched import state

pytestmark = pytest.mark.guest

SEEDS = range(5)
EXPIRY = 1
"""Seconds after which the kernel unmounts a snapshot again that was looked at in .zfs/snapshot."""


# --- what is there --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def laid(guests: conftest.Pair) -> Iterator[Laid]:
    guest = guests.server
    guest.run(f"echo {EXPIRY} >/sys/module/zfs/parameters/zfs_expire_snapshot")
    past.make_pool(guest)
    try:
        pasts = {seed: past.lay(guest, seed) for seed in SEEDS}
        compared = [child for one in pasts.values() for child in one.compared().values()]
        names = [name for child in compared for name in (child.older, child.newer)]
        names += [f"{POOL}/s0/noauto@{tag}" for tag in (OLDER, NEWER)]
        yield Laid(guest, pasts, compare.snapshots(guest, names))
    finally:
        past.destroy_pool(guest)


@pytest.fixture(scope="module")
def hand(laid: Laid, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hand]:
    """A bring-up takes its time there: the tests share it."""
    made = Hand(laid.guest.console_url, tmp_path_factory.mktemp("preview"))
    yield made
    made.drop()


# --- what it says is so ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_told_is_what_a_comparison_file_by_file_finds(
    laid: Laid, hand: Hand, seed: int
) -> None:
    tree = laid.pasts[seed]
    engine = hand.engine()
    ended = engine.compare(
        engine.look(tree.root),
        *(tree.root, OLDER, NEWER),
        sizes=10_000 if seed == 0 else 0,
        estimates=seed == 0,
    )
    fates(hand.pairs(), tree)
    wrong = laid.disagreements(tree, hand.of)
    assert not wrong, "\n".join(wrong)
    endings = {one.pair.dataset: one for one in hand.told if isinstance(one, DatasetEnded)}
    assert endings.keys() == tree.children.keys()
    for name, ending in endings.items():
        coverage = Coverage.WHOLE if name in tree.compared() else Coverage.NONE
        assert (ending.coverage, ending.count) == (coverage, len(hand.of(name))), ending
        assert bool(ending.reason) == (coverage is Coverage.NONE)
    assert ended == hand.told[-1]
    assert ended.changes == sum(len(hand.of(name)) for name in tree.compared())
    assert ended.partial == (seed == 0), ended.reason
    if seed == 0:
        sizes_agree(laid, hand, tree)
    if seed == 0:
        estimates_agree(laid, hand, tree)


# --- nothing is written ---------------------------------------------------------------------------


def test_a_preview_of_everything_leaves_everything_as_it_was(
    laid: Laid, hand: Hand, tmp_path: Path
) -> None:
    """Comparison, sizes, estimates, contents, sums, one file fetched, one comparison stopped."""
    guest, tree = laid.guest, laid.pasts[0]
    before = state(guest, POOL)
    engine = hand.engine()
    inv = engine.look()
    assert {f"{POOL}/s{seed}" for seed in SEEDS} <= {one.name for one in inv.datasets}
    engine.compare(inv, tree.root, OLDER, NEWER, recursive=False)
    pair = hand.pairs()[tree.root]
    contents_agree(laid, hand, pair)
    files = {change.path: change for change in hand.of(tree.root) if change.type == "F"}
    fetched(laid, hand, pair, files, tmp_path)
    engine = hand.engine(enough=1)
    ended = engine.compare(inv, tree.root, OLDER, NEWER)
    assert ended.partial
    assert "stopped" in ended.reason
    assert before.differences(state(guest, POOL)) == []


# --- the live files ------------------------------------------------------------------------------

LATER = b"""set -e; cd /seeds/s4
echo now > new; mv deep0 'moved -> there'; chmod 600 'moved -> there/deep1'
"""


def test_the_live_files_only_with_the_operators_word(laid: Laid, hand: Hand) -> None:
    guest, tree = laid.guest, laid.pasts[4]
    guest.put("/run/later", LATER)
    guest.run("sh /run/later")
    snapshots = guest.lines(f"zfs list -H -o name -t snapshot -r {POOL}")
    engine = hand.engine()
    inv = engine.look(tree.root)
    with pytest.raises(NotReadOnly, match="temporary snapshot"):
        engine.compare(inv, tree.root, NEWER, None)
    assert hand.told == []
    engine = hand.engine(temporary=True)
    ended = engine.compare(inv, tree.root, NEWER, None)
    assert not ended.partial, ended.reason
    child = tree.compared()[tree.root]
    now = compare.live(guest, tree.root, child.mount)
    wanted = compare.expected(child.mount.encode(), laid.files[child.newer], now)
    assert len(wanted) > 3
    assert compare.disagreement(hand.of(tree.root), wanted) == []
    assert guest.lines(f"zfs list -H -o name -t snapshot -r {POOL}") == snapshots


ODD = """set -e; zfs create seeds/odd; cd /seeds/odd; mkdir src dst
echo 1 >src/kept; echo 2 >src/open; echo 3 >src/safe; zfs snapshot seeds/odd@A
ln src/kept dst/other; rm dst/other; ln src/safe src/other; rm src/other
echo 4 >src/new; tail -f src/open src/new >/dev/null & echo $! >/run/odd
sleep 1; rm src/open src/new; zfs snapshot seeds/odd@B
echo more >>src/kept; zfs snapshot seeds/odd@C; kill $(cat /run/odd)"""


def test_what_zfs_diff_gets_wrong_is_told_as_it_says_it(laid: Laid, hand: Hand) -> None:
    """Of a file one of whose hard links was made and removed in another directory, zfs says that
    it was removed, and later nothing at all (openzfs #13283, #16753), and nothing of one that was
    removed while it is open. None of it becomes a path that never was, and what was written
    betrays that there is more."""
    laid.guest.run(ODD)
    name = f"{POOL}/odd"
    engine = hand.engine()
    inv = engine.look(name)
    engine.compare(inv, name, OLDER, NEWER)
    told = {(one.kind, one.path.removeprefix(b"/seeds/odd/")) for one in hand.of(name)}
    assert told == {("M", b"src"), ("M", b"dst"), ("-", b"src/kept"), ("M", b"src/safe")}
    engine = hand.engine()
    ended = engine.compare(inv, name, NEWER, "C")
    assert (ended.changes, ended.partial) == (0, False)
    (estimated,) = [one for one in hand.told if isinstance(one, Estimated)]
    assert estimated.written


# --- many changes ---------------------------------------------------------------------------------

MANY = """set -e; zfs create seeds/many; zfs snapshot seeds/many@A; cd /seeds/many; d=0
while [ $d -lt 60 ]; do
  mkdir $d; f=0
  while [ $f -lt 100 ]; do : >$d/$f; f=$((f+1)); done
  d=$((d+1))
done
zfs snapshot seeds/many@B"""


def test_thousands_of_changes_stream_and_can_be_stopped(laid: Laid, hand: Hand) -> None:
    """Under emulation zfs diff takes a minute for them: they come while it works, and it ends."""
    laid.guest.run(MANY, timeout=120)
    engine = hand.engine(enough=1500)
    inv = engine.look(f"{POOL}/many")
    began = time.monotonic()
    ended = engine.compare(inv, f"{POOL}/many", OLDER, NEWER)
    assert ended.partial
    assert 1500 <= ended.changes < 6_000
    pieces = [one for one in hand.told if isinstance(one, Found)]
    assert len(pieces) > 5, "they did not come one after the other"
    told = hand.of(f"{POOL}/many")
    assert len({change.path for change in told}) == len(told)
    assert "zfs diff" not in laid.guest.out("busybox ps -o args | grep -v grep"), "it still runs"
    print(f"{len(told)} changes in {time.monotonic() - began:.1f} s")
    assert hand.shell().run(("uname", "-r")).status == 0, "the shell is not there any more"


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def command(laid: Laid, hand: Hand, tmp_path: Path) -> Command:
    hand.drop()
    laid.guest.run("rm -rf /tmp/zr-*")
    return Command(laid.guest.console_url, tmp_path)


def mounted(guest: Guest, dataset: str) -> list[str]:
    """Where a dataset is mounted, and how."""
    rows = [line.split(" ") for line in guest.lines("cat /proc/mounts")]
    return [f"{row[1]} {row[3].split(',')[0]}" for row in rows if row[0] == dataset]


def test_the_command_mounts_only_what_it_may_and_leaves_nothing(
    laid: Laid, command: Command
) -> None:
    """kill -9 while an agreed mount is there; the next preview takes it away, tells all the rest of
    the tree as JSON, and mounts nothing where nobody agreed; one that may end unmounts by itself.
    """
    guest, tree = laid.guest, laid.pasts[0]
    name = f"{tree.root}/noauto"
    question = ("--from", OLDER, "--to", NEWER, "--no-estimates", "--sizes", "0")
    process = command.start("--json", "--tree", name, *question, "--agree-mount")
    assert process.stdout
    assert json.loads(process.stdout.readline())["type"] == "begin"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left,) = mounted(guest, name)
    assert left.startswith("/tmp/zr-")
    assert left.endswith(" ro")

    code, records, said = command.json("--tree", tree.root, "-r", *question)
    assert "unmounted" in said
    assert "--agree-mount" in said
    assert mounted(guest, name) == []
    wrong = laid.disagreements(tree, lambda dataset: changes_of(records, dataset))
    assert not wrong, "\n".join(wrong)
    end = records[-1]
    assert (end["type"], end["exit"], end["partial"], code) == ("end", 2, True, 2), end

    code, records, said = command.json("--tree", name, *question, "--agree-mount")
    assert code == 1, said
    told = changes_of(records, name)
    where = b"/".join(min(change.path for change in told).split(b"/")[:5])
    assert where.startswith(b"/tmp/zr-")
    older, newer = (laid.files[f"{name}@{tag}"] for tag in (OLDER, NEWER))
    assert compare.disagreement(told, compare.expected(where, older, newer)) == []
    assert mounted(guest, name) == []
    assert guest.run("ls -d /tmp/zr-*", check=False).status, "something was left there"
