"""zfs send and receive of single datasets on the simulated machines: facts/freebsd.md B6 and C5."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zrwizard.rehearsal import Rehearsal
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.world import run_aside
from zrwizard.rehearsal.zfstoken import Token, read_token

RECEIVE = "cannot receive new filesystem stream: "
STEP = "cannot receive incremental stream: "
RESUME = "cannot receive resume stream: "
BROKEN = re.compile(r"warning: cannot send '[^']+': Broken pipe\n")


class Server:
    """hostB, where sending and receiving are one machine; every test has its own datasets."""

    def __init__(self, made: Rehearsal) -> None:
        self.made = made

    def run(self, text: str) -> tuple[int, str, str]:
        """Status, standard output and error of sh text."""
        loop = self.made._loop
        assert loop is not None
        return asyncio.run_coroutine_threadsafe(run_aside(self.made.server, text), loop).result(60)

    def out(self, text: str) -> str:
        """Standard output of what succeeds and complains of nothing."""
        status, out, err = self.run(text)
        assert (status, err) == (0, ""), (text, status, out, err)
        return out

    def err(self, text: str) -> str:
        """The complaint of what fails with 1, but for the sender's that nobody reads it."""
        status, out, err = self.run(text)
        assert (status, out) == (1, ""), (text, status, out, err)
        return BROKEN.sub("", err)

    def grow(self, name: str, size: int) -> None:
        """Somebody writes to a dataset."""

        def more() -> None:
            found = self.made.server.dataset(name)
            assert found is not None
            found[1].bulk += size

        self.made.inside(more)

    def change(self, name: str, **fields: Any) -> None:
        """Something about a dataset is otherwise."""

        def set_them() -> None:
            found = self.made.server.dataset(name)
            assert found is not None
            for key, value in fields.items():
                setattr(found[1], key, value)

        self.made.inside(set_them)

    def history(self, name: str) -> None:
        """A dataset with the snapshots a, b and c, each with more in it."""
        self.out(f"zfs create -u {name}")
        for tag in "abc":
            self.grow(name, 5 << 20)
            self.out(f"zfs snapshot {name}@{tag}")

    def guids(self, name: str) -> list[str]:
        """The guids of a dataset's snapshots, oldest first."""
        text = f"zfs list -Hp -d 1 -t snapshot -s createtxg -o guid {name}"
        return self.out(text).split()


@pytest.fixture(scope="module")
def made() -> Iterator[Rehearsal]:
    with Rehearsal(speed=1000) as made:
        yield made


@pytest.fixture
def server(made: Rehearsal) -> Iterator[Server]:
    box = Server(made)
    box.out("zfs create -u zroot/t; zfs create -u zroot/r")
    box.history("zroot/t/s")
    yield box
    box.run("zfs destroy -R zroot/t; zfs destroy -R zroot/r; rm -f /tmp/stream /tmp/err")


def cut(server: Server, send: str, receive: str, words: int = 8) -> str:
    """A stream of which only the first `words` lines come; what receive says."""
    return server.err(f"{send} >/tmp/stream; head -n {words} /tmp/stream | {receive}")


@pytest.fixture
def slow(server: Server) -> Iterator[Server]:
    """A server whose streams come in small pieces."""
    rate = server.made.server.send_rate
    server.made.inside(lambda: setattr(server.made.server, "send_rate", 16e3))
    yield server
    server.made.inside(lambda: setattr(server.made.server, "send_rate", rate))


# --- whole, one step, all steps ------------------------------------------------------------------


def test_first_whole_then_all_that_follow(server: Server) -> None:
    server.out("zfs send zroot/t/s@a | zfs receive -s -u zroot/r/s")
    assert server.guids("zroot/r/s") == server.guids("zroot/t/s")[:1]
    told = server.out("zfs send -I @a zroot/t/s@c | zfs receive -s -u -v zroot/r/s")
    assert server.guids("zroot/r/s") == server.guids("zroot/t/s")
    assert re.findall(r"receiving (\w+) stream of (\S+) into (\S+)\n", told) == [
        ("incremental", "zroot/t/s@b", "zroot/r/s@b"),
        ("incremental", "zroot/t/s@c", "zroot/r/s@c"),
    ]
    assert len(re.findall(r"received \S+ stream in [\d.]+ seconds \(\S+/sec\)\n", told)) == 2


@pytest.mark.parametrize("base", ["a", "@a", "zroot/t/s@a"], ids=["bare", "at", "full"])
def test_one_step_leaves_out_what_is_between(server: Server, base: str) -> None:
    server.out("zfs send zroot/t/s@a | zfs receive -u zroot/r/s")
    server.out(f"zfs send -i {base} zroot/t/s@c | zfs receive -u zroot/r/s")
    first, _, last = server.guids("zroot/t/s")
    assert server.guids("zroot/r/s") == [first, last]


def test_what_is_there_already_is_passed_over(server: Server) -> None:
    server.out("zfs send zroot/t/s@a | zfs receive -u zroot/r/s")
    server.out("zfs send -i @a zroot/t/s@b | zfs receive -u zroot/r/s")
    told = server.out("zfs send -I @a zroot/t/s@c | zfs receive -v -u zroot/r/s")
    assert told.startswith("snap zroot/r/s@b already exists; ignoring\nreceiving incremental")
    assert server.guids("zroot/r/s") == server.guids("zroot/t/s")


def test_a_clone_finds_its_origin_by_the_guid(server: Server) -> None:
    server.out("zfs create -u zroot/t/c; zfs snapshot zroot/t/c@x; zfs snapshot zroot/t/c@y")
    server.change("zroot/t/c", origin="zroot/t/s@b")
    server.out("zfs send zroot/t/s@b | zfs receive -u zroot/r/o")
    server.out("zfs rename zroot/r/o@b zroot/r/o@renamed")
    told = server.out("zfs send -i zroot/t/s@b zroot/t/c@x | zfs receive -u -v zroot/r/c")
    assert told.startswith("receiving incremental stream of zroot/t/c@x into zroot/r/c@x\n")
    server.out("zfs send -i @x zroot/t/c@y | zfs receive -u zroot/r/c")
    assert server.out("zfs get -Hp -o value origin zroot/r/c") == "zroot/r/o@renamed\n"
    assert server.guids("zroot/r/c") == server.guids("zroot/t/c")


def test_a_clone_without_its_origin_is_refused(server: Server) -> None:
    server.out("zfs create -u zroot/t/c; zfs snapshot zroot/t/c@x")
    server.change("zroot/t/c", origin="zroot/t/s@b")
    server.out("zfs send -i zroot/t/s@b zroot/t/c@x >/tmp/stream; zfs destroy -R zroot/t/s@b")
    assert server.err("zfs receive -u zroot/r/c </tmp/stream") == (
        f"{RECEIVE}local origin for clone zroot/r/c@x does not exist\n"
    )


# --- what is said of sizes and progress ----------------------------------------------------------


def test_estimates_and_the_sum(server: Server) -> None:
    full = r"full\tzroot/t/s@a\t(\d+)\nsize\t\1\n"
    assert re.fullmatch(full, server.out("zfs send -nvP zroot/t/s@a"))
    assert re.fullmatch(
        r"incremental\ta\tzroot/t/s@b\t\d+\nincremental\tb\tzroot/t/s@c\t\d+\nsize\t\d+\n",
        server.out("zfs send -n -v -P -L -c -e -p -I @a zroot/t/s@c"),
    )
    assert re.fullmatch(
        r"full send of zroot/t/s@a estimated size is \S+\ntotal estimated size is \S+\n",
        server.out("zfs send -nv zroot/t/s@a"),
    )
    assert server.out("zfs send -n zroot/t/s@a") == ""


def test_progress_comes_every_second_on_standard_error(slow: Server) -> None:
    shown = slow.out(
        "zfs send -v -P -I @a zroot/t/s@c 2>/tmp/err >/tmp/stream; cat /tmp/err"
    ).splitlines()
    assert [line.split("\t")[0] for line in shown[:3]] == ["incremental", "incremental", "size"]
    rows = [re.fullmatch(r"\d\d:\d\d:\d\d\t(\d+)\tzroot/t/s@([bc])", line) for line in shown[3:]]
    assert len(rows) >= 3
    assert all(rows), shown
    counts = [(row[2], int(row[1])) for row in rows if row]
    assert counts == sorted(counts), "each snapshot counts from nought"
    assert max(count for _, count in counts) <= (5 << 20) + 312


def test_progress_for_people(slow: Server) -> None:
    shown = slow.out("zfs send -v zroot/t/s@a 2>/tmp/err >/tmp/stream; cat /tmp/err")
    head, _, rows = shown.partition("TIME        SENT   SNAPSHOT zroot/t/s@a\n")
    assert head.endswith("total estimated size is 5.01M\n")
    assert re.fullmatch(r"(\d\d:\d\d:\d\d   [ \d.KMB]{5}   zroot/t/s@a\n)+", rows)


# --- interrupted and resumed ---------------------------------------------------------------------


def test_without_s_nothing_is_left(slow: Server) -> None:
    said = cut(slow, "zfs send zroot/t/s@a", "zfs receive -u zroot/r/s")
    assert said == f"{RECEIVE}incomplete stream\n"
    assert "dataset does not exist" in slow.err("zfs list zroot/r/s")


@pytest.mark.parametrize(
    ("begin", "send", "head"),
    [
        ("true", "zfs send zroot/t/s@a", RECEIVE),
        (
            "zfs send zroot/t/s@a | zfs receive -u zroot/r/s",
            "zfs send -i @a zroot/t/s@b",
            STEP,
        ),
    ],
    ids=["whole", "step"],
)
def test_the_token_goes_on(slow: Server, begin: str, send: str, head: str) -> None:
    slow.out(begin)
    there = slow.run("zfs list -Hp -d 1 -t snapshot -o guid zroot/r/s")[1]
    said = cut(slow, send, "zfs receive -s -u zroot/r/s")
    token = slow.out("zfs get -Hp -o value receive_resume_token zroot/r/s").strip()
    assert re.fullmatch(r"1-[0-9a-f]+-[0-9a-f]+-[0-9a-f]{200,}", token)
    assert said == (
        f"{head}checksum mismatch or incomplete stream.\nPartially received snapshot is saved.\n"
        "A resuming stream can be generated on the sending system by running:\n"
        f"    zfs send -t {token}\n"
    )
    assert slow.run("zfs list -Hp -d 1 -t snapshot -o guid zroot/r/s")[1] == there
    rest = slow.out(f"zfs send -nvP -t {token}").splitlines()
    assert rest[0] == "resume token contents:"
    assert int(rest[-1].split("\t")[1]) < int(slow.out(f"{send} -nvP").splitlines()[-1][5:])
    assert "\ttoname = zroot/t/s@" in "\n".join(rest)
    again = cut(slow, f"zfs send -t {token}", "zfs receive -s -u zroot/r/s", words=4)
    assert again.startswith(f"{RESUME}checksum mismatch or incomplete stream.\n")
    newer = slow.out("zfs get -Hp -o value receive_resume_token zroot/r/s").strip()
    assert read_token(newer).bytes > read_token(token).bytes
    assert slow.err(f"zfs send -t {token} | zfs receive -s -u zroot/r/s").startswith(RESUME)
    slow.out(f"zfs send -t {newer} | zfs receive -s -u zroot/r/s")
    assert slow.out("zfs get -Hp -o value receive_resume_token zroot/r/s") == "-\n"
    have = slow.guids("zroot/r/s")
    assert have == slow.guids("zroot/t/s")[: len(have)] != there.split()


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        ("zfs destroy zroot/t/s@a", "'zroot/t/s@a' used in the initial send no longer exists"),
        (
            "zfs destroy zroot/t/s@a; zfs snapshot zroot/t/s@a",
            "'zroot/t/s@a' is no longer the same snapshot used in the initial send",
        ),
    ],
    ids=["destroyed", "made-anew"],
)
def test_a_stale_token_is_refused(slow: Server, happens: str, words: str) -> None:
    cut(slow, "zfs send zroot/t/s@a", "zfs receive -s -u zroot/r/s")
    token = slow.out("zfs get -Hp -o value receive_resume_token zroot/r/s").strip()
    slow.out(happens)
    assert slow.run(f"zfs send -t {token}") == (255, "", f"cannot resume send: {words}\n")
    slow.out("zfs receive -A zroot/r/s")
    assert "dataset does not exist" in slow.err("zfs list zroot/r/s")


def test_a_renamed_source_still_fits_and_a_lost_base_does_not(slow: Server) -> None:
    slow.out("zfs send zroot/t/s@a | zfs receive -u zroot/r/s")
    cut(slow, "zfs send -i @a zroot/t/s@b", "zfs receive -s -u zroot/r/s")
    token = slow.out("zfs get -Hp -o value receive_resume_token zroot/r/s").strip()
    base = int(slow.guids("zroot/t/s")[0])
    slow.out("zfs rename zroot/t/s@b zroot/t/s@bb")
    assert "\tzroot/t/s@bb\t" in slow.out(f"zfs send -nvP -t {token}")
    slow.out("zfs destroy zroot/t/s@a; zfs destroy -R zroot/r")
    assert slow.run(f"zfs send -t {token}")[2] == (
        f"cannot resume send: incremental source {base:#x} no longer exists\n"
    )
    slow.out("zfs create -u zroot/r")


def test_what_an_interrupted_receive_blocks_and_what_gives_it_up(slow: Server) -> None:
    slow.out("zfs send zroot/t/s@a | zfs receive -u zroot/r/s")
    cut(slow, "zfs send -i @a zroot/t/s@b", "zfs receive -s -u zroot/r/s")
    assert slow.err("zfs send -i @a zroot/t/s@c | zfs receive -s -u zroot/r/s") == (
        f'{STEP}destination zroot/r/s contains partially-complete state from "zfs receive -s".\n'
    )
    assert slow.out("zfs receive -A zroot/r/s") == ""
    assert slow.err("zfs receive -A zroot/r/s") == (
        "'zroot/r/s' does not have any resumable receive state to abort\n"
    )
    slow.out("zfs send -i @a zroot/t/s@c | zfs receive -s -u zroot/r/s")


# --- errors --------------------------------------------------------------------------------------

SENT = "zfs send zroot/t/s@a | zfs receive -u zroot/r/s"
ERRORS = {
    "exists": (
        SENT,
        SENT,
        f"{RECEIVE}destination 'zroot/r/s' exists\nmust specify -F to overwrite it\n",
    ),
    "has-snapshots": (
        SENT,
        "zfs send zroot/t/s@b | zfs receive -F zroot/r/s",
        f"{RECEIVE}destination has snapshots (eg. zroot/r/s@a)\n"
        "must destroy them to overwrite it\n",
    ),
    "not-newest": (
        SENT,
        "zfs send -i @b zroot/t/s@c | zfs receive zroot/r/s",
        f"{STEP}most recent snapshot of zroot/r/s does not\nmatch incremental source\n",
    ),
    "absent": (
        "true",
        "zfs send -i @b zroot/t/s@c | zfs receive zroot/r/s",
        f"{STEP}destination 'zroot/r/s' does not exist\n",
    ),
    "no-parent": (
        "true",
        "zfs send zroot/t/s@a | zfs receive zroot/r/x/s",
        f"{RECEIVE}destination 'zroot/r/x' does not exist\n",
    ),
    "same-name": (
        f"{SENT}; zfs snapshot zroot/r/s@b; zfs rename zroot/r/s@a zroot/r/s@z",
        "zfs send -i @a zroot/t/s@b | zfs receive zroot/r/s",
        "cannot restore to zroot/r/s@b: destination already exists\n",
    ),
    "quota": (
        "zfs set quota=1M zroot/r",
        SENT,
        f"{RECEIVE}destination zroot/r/s space quota exceeded.\n",
    ),
    "nothing-came": (
        "true",
        "printf '' | zfs receive zroot/r/s",
        "cannot receive: failed to read from stream\n",
    ),
    "no-snapshot": (
        "true",
        "zfs send zroot/t/s@nosuch",
        "cannot open 'zroot/t/s@nosuch': dataset does not exist\n",
    ),
    "no-base": (
        "true",
        "zfs send -i @nosuch zroot/t/s@a",
        "warning: cannot send 'zroot/t/s@a': incremental source (@nosuch) does not exist\n",
    ),
    "later-base": (
        "true",
        "zfs send -i @c zroot/t/s@a",
        "warning: cannot send 'zroot/t/s@a': not an earlier snapshot from the same fs\n",
    ),
    "no-token": (
        "true",
        "zfs send -t '' || (exit 1)",
        "cannot resume send: resume token is corrupt (invalid format)\n",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_in_their_own_words(server: Server, name: str) -> None:
    before, command, words = ERRORS[name]
    server.out(before)
    assert server.err(command) == words


def test_a_sender_that_nobody_reads_says_so(slow: Server) -> None:
    slow.out(SENT)
    said = slow.run(SENT)[2]
    assert BROKEN.search(said), said


def test_a_modified_destination_needs_F(server: Server) -> None:
    server.out(SENT)
    server.grow("zroot/r/s", 4096)
    step = "zfs send -i @a zroot/t/s@b | zfs receive"
    assert server.err(f"{step} zroot/r/s") == (
        f"{STEP}destination zroot/r/s has been modified\nsince most recent snapshot\n"
    )
    server.out(f"{step} -F zroot/r/s")
    assert server.guids("zroot/r/s") == server.guids("zroot/t/s")[:2]


def test_F_takes_away_what_is_newer(server: Server) -> None:
    server.out(f"{SENT}; zfs snapshot zroot/r/s@own")
    server.out("zfs send -i @a zroot/t/s@c | zfs receive -F zroot/r/s")
    first, _, last = server.guids("zroot/t/s")
    assert server.guids("zroot/r/s") == [first, last]


def test_out_of_space(server: Server) -> None:
    server.grow("zroot/t/s", 7 << 30)
    server.change("zroot", bulk=1 << 30)
    server.out("zfs snapshot zroot/t/s@big")
    try:
        said = server.err("zfs send zroot/t/s@big | zfs receive zroot/r/s")
    finally:
        server.change("zroot", bulk=0)
    assert said == f"{RECEIVE}out of space\n"
    assert "dataset does not exist" in server.err("zfs list zroot/r/s")


# --- properties, volumes, keys -------------------------------------------------------------------


def test_properties_travel_with_p_and_b_and_not_without(server: Server) -> None:
    server.out("zfs set atime=off zroot/t/s; zfs set org.example:who='Jim B' zroot/t/s")
    ask = "zfs get -Hp -o property,value,source atime,org.example:who"
    server.out("zfs send zroot/t/s@a | zfs receive -u zroot/r/plain")
    assert server.out(f"{ask} zroot/r/plain") == "atime\ton\tdefault\norg.example:who\t-\t-\n"
    server.out("zfs send -p zroot/t/s@a | zfs receive -u -o compression=lz4 zroot/r/p")
    assert server.out(f"{ask} zroot/r/p") == (
        "atime\toff\treceived\norg.example:who\tJim B\treceived\n"
    )
    assert server.out("zfs get -Hp -o value,source compression zroot/r/p") == "lz4\tlocal\n"
    server.out("zfs set atime=on zroot/r/p")
    server.out("zfs send -b zroot/r/p@a | zfs receive -u -x org.example:who zroot/r/b")
    assert server.out(f"{ask} zroot/r/b") == "atime\toff\treceived\norg.example:who\t-\t-\n"
    shown = server.out("zfs get -Hp -o property,received,source atime zroot/r/b")
    assert shown == "atime\toff\treceived\n"


def test_the_properties_of_a_step_are_lost_with_it(slow: Server) -> None:
    slow.out("zfs set atime=off zroot/t/s; zfs send -p zroot/t/s@a | zfs receive -u zroot/r/s")
    slow.out("zfs set atime=on zroot/t/s")
    cut(slow, "zfs send -p -i @a zroot/t/s@b", "zfs receive -s -u zroot/r/s")
    token = slow.out("zfs get -Hp -o value receive_resume_token zroot/r/s").strip()
    slow.out(f"zfs send -t {token} | zfs receive -s -u zroot/r/s")
    assert slow.out("zfs get -Hp -o value atime zroot/r/s") == "off\n"
    cut(slow, "zfs send -p zroot/t/s@a", "zfs receive -s -u zroot/r/new")
    token = slow.out("zfs get -Hp -o value receive_resume_token zroot/r/new").strip()
    slow.out(f"zfs send -t {token} | zfs receive -s -u zroot/r/new")
    assert slow.out("zfs get -Hp -o value,source atime zroot/r/new") == "on\treceived\n"


def test_a_volume_stays_one(server: Server) -> None:
    server.change("zroot/t/s", kind="volume", local={"volsize": "1073741824"})
    server.out("zfs send zroot/t/s@a | zfs receive -u zroot/r/v")
    assert server.out("zfs list -Hp -o type,volsize,mountpoint zroot/r/v") == (
        "volume\t1073741824\t-\n"
    )
    assert server.err("zfs send zroot/t/s@a | zfs receive -u zroot/r/v/below") == (
        f"{RECEIVE}parent 'zroot/r/v' is not a filesystem\n"
    )


def encrypted(server: Server) -> None:
    """zroot/t/s is encrypted, its key not loaded; s/in has its key from it."""
    server.history("zroot/t/s/in")
    server.change("zroot/t/s", key="unavailable", local={"encryption": "aes-256-gcm"})
    server.change(
        "zroot/t/s/in", key="unavailable", inherits_key=True, local={"encryption": "aes-256-gcm"}
    )


def test_what_is_encrypted_goes_raw(server: Server) -> None:
    encrypted(server)
    assert server.err("zfs send zroot/t/s@a") == (
        "warning: cannot send 'zroot/t/s@a': dataset key must be loaded\n"
    )
    assert server.err("zfs send -p zroot/t/s@a") == (
        "cannot send 'zroot/t/s@a': encrypted dataset zroot/t/s may not be sent with properties "
        "without the raw flag\n"
    )
    ask = "zfs list -Hp -r -o name,encryption,encryptionroot,keystatus"
    server.out("zfs send -w -p zroot/t/s@a | zfs receive -u zroot/r/s")
    server.out("zfs send -w -p zroot/t/s/in@a | zfs receive -u zroot/r/s/in")
    assert server.out(f"{ask} zroot/r/s") == (
        "zroot/r/s\taes-256-gcm\tzroot/r/s\tunavailable\n"
        "zroot/r/s/in\taes-256-gcm\tzroot/r/s/in\tunavailable\n"
    ), "one by one, each has a key of its own"
    server.out("zfs send -w -R zroot/t/s@c | zfs receive -u zroot/r/tree")
    assert server.out(f"{ask} zroot/r/tree") == (
        "zroot/r/tree\taes-256-gcm\tzroot/r/tree\tunavailable\n"
        "zroot/r/tree/in\taes-256-gcm\tzroot/r/tree\tunavailable\n"
    )
    server.history("zroot/t/open")
    assert server.err("zfs send zroot/t/open@a | zfs receive -u zroot/r/s/x") == (
        f"{RECEIVE}inherited key must be loaded\n"
    )
    server.out("zfs create -u zroot/r/empty")
    assert server.err("zfs send -w zroot/t/s@a | zfs receive -F zroot/r/empty") == (
        f"{RECEIVE}zfs receive -F cannot be used to destroy an encrypted filesystem or overwrite "
        "an unencrypted one with an encrypted one\n"
    )


# --- names ---------------------------------------------------------------------------------------


def test_origins_follow_a_rename(server: Server) -> None:
    server.out("zfs create -u zroot/t/c")
    server.change("zroot/t/c", origin="zroot/t/s@b")
    server.out("zfs rename zroot/t/s zroot/t/s2; zfs rename zroot/t/s2@b zroot/t/s2@bb")
    assert server.out("zfs get -Hp -o value origin zroot/t/c") == "zroot/t/s2@bb\n"
    server.out("zfs rename zroot/t zroot/u")
    assert server.out("zfs get -Hp -o value origin zroot/u/c") == "zroot/u/s2@bb\n"
    assert "dataset already exists" in server.err("zfs rename zroot/u/c zroot/u/s2")
    assert "parent does not exist" in server.err("zfs rename zroot/u/c zroot/nosuch/c")
    assert server.err("zfs destroy zroot/u/s2@bb") == (
        "cannot destroy 'zroot/u/s2@bb': snapshot has dependent clones\n"
        "use '-R' to destroy the following datasets:\nzroot/u/c\n"
    )
    server.out("zfs destroy -R zroot/u/s2@bb")
    assert "dataset does not exist" in server.err("zfs list zroot/u/c")
    server.out("zfs rename zroot/u zroot/t")


def test_the_columns_that_an_inventory_needs(server: Server) -> None:
    server.out("zfs hold keep zroot/t/s@b")
    rows = server.out(
        "zfs list -Hp -r -t filesystem,volume,snapshot -o "
        "name,type,guid,createtxg,origin,userrefs,encryption,encryptionroot,receive_resume_token "
        "zroot/t/s"
    ).splitlines()
    assert re.fullmatch(r"zroot/t/s\tfilesystem\t\d+\t\d+\t-\t-\toff\t-\t-", rows[0])
    held = [
        re.fullmatch(r"zroot/t/s@.\tsnapshot\t\d+\t\d+\t-\t(\d)\toff\t-\t-", r) for r in rows[1:]
    ]
    assert [match and match[1] for match in held] == ["0", "1", "0"]
    server.out("zfs release keep zroot/t/s@b")


# --- the token -----------------------------------------------------------------------------------

TOKENS = st.builds(
    Token,
    toname=st.text(min_size=1).map(lambda name: f"pool/{name}@tag"),
    toguid=st.integers(1, 2**64 - 1),
    fromguid=st.integers(0, 2**64 - 1),
    bytes=st.integers(0, 2**63),
    raw=st.booleans(),
)


@given(TOKENS)
def test_a_token_is_read_as_it_was_written(token: Token) -> None:
    assert read_token(token.text()) == token


@given(TOKENS, st.integers(0, 10**6), st.characters(codec="ascii"))
def test_a_damaged_token_is_never_taken_for_another(token: Token, at: int, letter: str) -> None:
    text = token.text()
    at %= len(text)
    damaged = text[:at] + letter + text[at + 1 :]
    if damaged.lower() == text:  # hexadecimal digits may be capitals
        return
    with pytest.raises(Fail) as refusal:
        read_token(damaged)
    assert refusal.value.err.startswith("cannot resume send: resume token is corrupt (")


@given(st.text())
def test_no_text_is_a_token_by_chance(text: str) -> None:
    with pytest.raises(Fail):
        read_token(text)
