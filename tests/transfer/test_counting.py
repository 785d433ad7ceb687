"""The bytes of a stream and of its datasets, out of the two logs that tell of them."""

from __future__ import annotations

from dataclasses import replace

from zrwizard.freebsd.zfs_receive import ReceiveLog
from zrwizard.freebsd.zfs_send_progress import SendLog
from zrwizard.mover import Phase, State
from zrwizard.plan import Share, Transfer
from zrwizard.transfer.counting import sample
from zrwizard.transfer.poll import Look
from zrwizard.transfer.progress import Part, Sample

LOOK = Look(5000, 3, 700, True, None, 0, b"")
SHARES = (Share("zroot", 2048), Share("zroot/home", 9000))
FIRST = (
    "receiving full stream of tank@a into zroot@a\n"
    "received 1.50K stream in 0.10 seconds (15K/sec)\n"
)
SECOND = "receiving full stream of tank/home@a into zroot/home@a\n"


def action(shares: tuple[Share, ...], lanes: int = 1) -> Transfer:
    return Transfer("x", "pull", "zroot", "em0", 9999, 2, "", shares, "/tmp/m", lanes)


def see(log: str, shares: tuple[Share, ...] = SHARES) -> Sample:
    sent = SendLog().feed(log)
    return sample(7.0, LOOK, sent, ReceiveLog().feed(sent.said), action(shares))


def test_nothing_is_known_before_anything_came() -> None:
    assert see("") == Sample(7.0, net=5000, used=700)


def test_a_snapshot_of_less_than_a_second_is_told_by_the_receiver() -> None:
    seen = see(FIRST)
    assert (seen.sent, seen.finished, seen.current) == (1536, 1, "")
    assert seen.part == Part("zroot", 1, 1536, 2048)


def test_what_is_on_its_way_is_told_by_the_sender() -> None:
    seen = see(FIRST + SECOND + "00:00:01\t4000\ttank/home@a\n")
    assert (seen.sent, seen.finished, seen.current) == (5536, 1, "zroot/home@a")
    assert seen.part == Part("zroot/home", 2, 4000, 9000)


def test_a_sender_ahead_of_the_receiver_is_believed() -> None:
    row = "00:00:01\t4000\ttank/home@a\n00:00:02\t10\ttank/home@b\n"
    assert see(FIRST + SECOND + row).sent == 4010


def test_later_snapshots_of_a_dataset_add_up() -> None:
    log = FIRST + SECOND + "received 2K stream in 0.1 seconds (15K/sec)\n"
    log += "receiving incremental stream of tank/home@b into zroot/home@b\n"
    seen = see(log + "00:00:01\t100\ttank/home@b\n")
    assert seen.part == Part("zroot/home", 2, 2148, 9000)
    assert seen.sent == 1536 + 2148


def test_a_dataset_that_the_plan_does_not_know_has_no_bar() -> None:
    assert see(SECOND, shares=()).part is None


# --- of the mover ---------------------------------------------------------------------------------

STATE = State(
    Phase.SENDING, "zroot/home", "x", number=2, count=2, since=0, at=1,
    sent=300, size=5000, had=700, finished=1500, retries=0,
)  # fmt: skip


def moved(state: State, rc: int | None = None, lanes: int = 1) -> Sample:
    look = replace(LOOK, state=state, rc=rc)
    return sample(7.0, look, SendLog(), ReceiveLog(), action(SHARES, lanes))


def test_the_mover_tells_what_came_and_what_was_there() -> None:
    seen = moved(STATE)
    assert (seen.sent, seen.finished, seen.current) == (2500, 1, "zroot/home")
    assert seen.part == Part("zroot/home", 2, 1000, 9000)
    assert (seen.net, seen.used) == (5000, 700)


def test_an_estimate_becomes_better_with_each_dataset() -> None:
    assert moved(replace(STATE, number=1, had=0, sent=10, finished=0)).estimate == 11048
    # The first was 1500 bytes and not 2048; the second is already larger than it was guessed.
    assert moved(STATE).estimate == 10500
    assert moved(replace(STATE, sent=20_000)).estimate == 1500 + 20_700


def test_before_the_first_and_after_the_last_dataset() -> None:
    begun = moved(replace(STATE, phase=Phase.LOOKING, number=0, sent=0, had=0, finished=0))
    assert (begun.sent, begun.finished, begun.part, begun.current) == (0, 0, None, "")
    over = replace(STATE, phase=Phase.ENDED, target="-", sent=0, had=0, finished=9999)
    ended = moved(over, rc=0)
    assert (ended.sent, ended.finished, ended.estimate) == (9999, 2, 9999)
    assert moved(over, rc=13).finished == 1


def test_of_lanes_the_sums_count_and_no_dataset_has_a_bar() -> None:
    seen = moved(STATE, lanes=2)
    assert (seen.sent, seen.finished, seen.current) == (2500, 1, "zroot/home")
    # Which datasets the finished bytes belong to is not known: the plan's own estimate stays.
    assert (seen.part, seen.estimate) == (None, None)
    assert moved(replace(STATE, phase=Phase.PAUSED), lanes=2).paused
    over = replace(STATE, phase=Phase.ENDED, target="-", sent=0, had=0, finished=9999)
    assert moved(over, rc=0, lanes=2).finished == 2
    assert moved(over, rc=13, lanes=2).finished == 1
