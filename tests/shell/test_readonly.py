"""The read-only shell: what it lets through arrives as it was checked, and nothing else does."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from noise import SHELLS

from tests.shell import standins
from zrwizard.console.errors import Cancelled, Refused
from zrwizard.freebsd import sh
from zrwizard.shell.api import Result
from zrwizard.shell.readonly import NotReadOnly, ReadOnly
from zrwizard.shell.readonly_grammar import complaint
from zrwizard.shell.readonly_words import words
from zrwizard.shell.session import ShellSession

OK = Result(0, b"", b"", 0.0)
NASTY = [
    "$(touch evil)",
    "`touch evil`",
    "; touch evil",
    "& touch evil",
    "| touch evil",
    "> evil",
    ">>evil",
    "< /etc/passwd",
    "\ntouch evil\n",
    "'; touch evil; '",
    "' > evil '",
    '" > evil "',
    "\\'; touch evil; \\'",
    "\\",
    "'",
    "''",
    "*",
    "~root",
    "$HOME",
    "${x:=y}",
    "{a,b}",
    "a=b",
    "!!",
    "#",
    "-",
    "--",
    "-o",
    "\x1b[31m",
    "\x03",
    "\x04",
    "\x7f",
    "\r",
    "\t",
    " ",
    "é",
    "\udcff",
    "\udc81",
    "\udc88",
    " -> ",
]


@dataclass
class Fake:
    """Remembers the text that would be typed."""

    typed: list[str] = field(default_factory=list)

    def run(self, text: str, *, timeout: float = 30.0) -> Result:
        self.typed.append(text)
        return OK

    def stream(
        self,
        text: str,
        sink: Callable[[bytes], None],
        *,
        timeout: float = 3600.0,
        stop: threading.Event | None = None,
    ) -> Result:
        self.typed.append(text)
        return OK


# --- the list -------------------------------------------------------------------------------------

ALLOWED = [
    "zfs list -Hp -r -t filesystem,volume,snapshot -o name,type,written,org.x:prop tank/a",
    "zfs list -Hp -d 1 -t snapshot -o name,guid tank",
    "zfs list -H -o name",
    "zfs get -Hp -o value written@monday tank/a@tuesday",
    "zfs get -Hp -o value written@other/set@monday tank/a",
    "zfs get all tank",
    "zfs diff -FHt tank/a@monday tank/a@tuesday",
    "zfs send -nvP -i tank/a@monday tank/a@tuesday",
    "zfs send -nvP -I tank/a@monday tank/a@tuesday",
    "zfs send -nvPw tank/a@tuesday",
    "zfs send -v -n -P tank/a@tuesday",
    "zfs version",
    "zpool list -Hp -o name,guid",
    "zpool history tank",
    "zpool history -i tank",
    "env TZ=UTC0 zpool history tank",
    "stat -f %@%t%p%t%z -- /mnt/a /mnt/.zfs/snapshot/x/b",
    "dd if=/mnt/a bs=65536 skip=3 count=1",
    "sha256 -q /mnt/a",
    "readlink -n /mnt/a",
    "ls -lniRAq -- /mnt/a",
    "mount",
    "mount -p",
    "uname -r",
]
REFUSED = [
    "",
    "rm -rf /mnt",
    "sh -c true",
    "touch /evil",
    "/sbin/zfs list",
    "zfs",
    "zpool",
    "zfs destroy tank/a",
    "zfs set atime=off tank",
    "zfs snapshot tank@x",
    "zfs rollback tank@x",
    "zfs mount -a",
    "zfs mount tank/a",
    "zfs hold x tank@y",
    "zfs promote tank/a",
    "zfs receive tank/a",
    "zfs list -oname tank",
    "zfs list -o name;id tank",
    "zfs list -o -r tank",
    "zfs list -t all tank",
    "zfs list -s name tank",
    "zfs list -d -1 tank",
    "zfs list --json tank",
    "zfs list -- tank",
    "zfs list -j tank",
    "zfs list tank -r",
    "zfs list -o",
    "zfs get all",
    "zfs get all -r tank",
    "zfs get -o value=x all tank",
    "zfs diff tank@a",
    "zfs diff -FHt tank@a tank@b tank@c",
    "zfs diff -FHt tank tank@b",
    "zfs diff -h tank@a tank@b",
    "zfs diff -FHt tank@a tank/live",
    "zfs send tank@a",
    "zfs send -vP tank@a",
    "zfs send -nvPR tank@a",
    "zfs send -nvP -t 1-abc-def",
    "zfs send -n -t 1-abc-def",
    "zfs send -nt 1-abc-def",
    "zfs send -nvP --resume tank@a",
    "zfs send -nvP -i @a tank@b",
    "zfs send -nvP -itank@a tank@b",
    "zfs send -nvP tank",
    "zfs send -nvP -S tank/a",
    "zfs send -nvP tank@a tank@b",
    "zfs version -j",
    "zpool status -e",
    "zpool scrub tank",
    "zpool list -o name;id",
    "zpool list -v 1",
    "zpool list tank/a",
    "zpool history -L tank",
    "zpool import -a",
    "zpool events -c",
    "env zpool history tank",
    "env TZ=UTC0",
    "env TZ=UTC0 zpool scrub tank",
    "env TZ=UTC0 zfs list",
    "env TZ=UTC0 LD_PRELOAD=/x zpool history tank",
    "env -i zpool history tank",
    "TZ=UTC0 zpool history tank",
    "stat /mnt/a",
    "stat -f %z",
    "stat -f %z a",
    "stat -f %z /mnt/../etc/passwd",
    "stat -f %z /dev/sa0",
    "stat -f %z -L /mnt/a",
    "stat -L -f %z /mnt/a",
    "dd",
    "dd bs=1 count=1",
    "dd if=/mnt/a of=/mnt/b",
    "dd of=/mnt/b",
    "dd if=/mnt/a if=/mnt/b",
    "dd if=/mnt/a conv=notrunc",
    "dd if=/dev/da0 bs=512",
    "dd if=//dev/da0 bs=512",
    "dd if=/./dev/da0 bs=512",
    "dd if=a",
    "dd if=/mnt/a bs=1k",
    "dd if=/mnt/a seek=1",
    "sha256 /mnt/a",
    "sha256 -q -c 12 /mnt/a",
    "sha256 -qr /mnt/a",
    "sha256 -q a",
    "readlink -f /mnt/a",
    "ls /mnt/a /mnt/b",
    "ls -lniRAq",
    "mount -a",
    "mount /dev/da0 /mnt",
    "mount x y",
    "mount -p /mnt",
    "mount -u -o rw /",
    "date",
    "date 202611220101",
    "date -u 202611220101",
    "sysctl a=1",
    "sysctl -n kern.hostname=x",
    "hostname x",
    "uname -S x",
    "uname x",
    "find /mnt -delete",
    "find /mnt -exec rm {} +",
    "sort -o /evil /mnt/a",
    "tee /evil",
    "cat /mnt/a",
    "if",
    "x=1",
    "zfs\n list",
    ".",
    "eval zfs list",
]


@pytest.mark.parametrize("line", ALLOWED)
def test_what_only_looks_is_typed_as_it_is(line: str) -> None:
    fake = Fake()
    argv = line.split(" ")
    shell = ReadOnly(fake)
    assert shell.run(argv) is OK
    assert shell.stream(argv, lambda _: None) is OK
    assert fake.typed == [sh.join(argv)] * 2
    assert words(fake.typed[0]) == tuple(argv)


@pytest.mark.parametrize("line", REFUSED)
def test_everything_else_is_refused_before_a_byte_is_typed(line: str) -> None:
    fake = Fake()
    shell = ReadOnly(fake)
    argv = line.split(" ") if line else []
    with pytest.raises(NotReadOnly) as told:
        shell.run(argv)
    with pytest.raises(NotReadOnly):
        shell.stream(argv, lambda _: None)
    assert not fake.typed
    assert isinstance(told.value, Refused)
    assert told.value.what.endswith(".")
    assert "Nothing was typed" in told.value.now


@pytest.mark.parametrize("line", [line for line in ALLOWED if line.startswith("zfs ")])
def test_no_option_may_be_added_to_an_allowed_command(line: str) -> None:
    """But for those that are on the list by themselves, none of a to Z slips in, at any place."""
    program, verb, *rest = line.split(" ")
    known = {"list": "HprdtOo", "get": "HprdtOo", "diff": "FHt", "send": "nvPcwLeiI"}
    known |= {"version": ""}
    for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ":
        if letter not in known[verb]:
            assert complaint([program, verb, f"-{letter}", *rest], temporary=True), letter
            assert complaint([program, verb, *rest, f"-{letter}"], temporary=True), letter
            assert complaint([program, verb, f"-{letter}x", *rest], temporary=True), letter


def test_the_live_file_system_needs_the_operators_word() -> None:
    argv = ("zfs", "diff", "-FHt", "tank/a@monday", "tank/a")
    with pytest.raises(NotReadOnly, match="temporary snapshot"):
        ReadOnly(Fake()).run(argv)
    assert not ReadOnly(Fake()).allows_temporary_snapshot
    agreed = ReadOnly(Fake(), allow_temporary_snapshot=True)
    assert agreed.allows_temporary_snapshot
    assert agreed.run(argv) is OK
    with pytest.raises(NotReadOnly):
        agreed.run(("zfs", "diff", "-FHt", "tank/a", "tank/a@monday"))


@pytest.mark.parametrize("name", ["tank/a b", "tank/a-1.2:3_4", "t", "rpool/ROOT/14.2-RELEASE"])
def test_legal_names_are_taken(name: str) -> None:
    assert not complaint(["zfs", "list", name], temporary=False)
    assert not complaint(["zfs", "list", f"{name}@auto-2026-11-22_01.02:x"], temporary=False)


@pytest.mark.parametrize(
    "name",
    [
        "-x",
        "@x",
        "tank@",
        "tank/",
        "/tank",
        "tank//a",
        "1tank",
        "tank a@b@c",
        "tank@a/b",
        " tank",
        "tank ",
        "tank/..",
        "tank/.",
        "tank/é",
        "tank/a\nb",
        "tank/$(x)",
        "tank;x",
        "tank/'a",
        "tank=1",
        "tank/a#mark",
        "x" * 300,
        "tank\0",
    ],
)
def test_illegal_names_are_refused(name: str) -> None:
    assert complaint(["zfs", "list", name], temporary=True)
    assert complaint(["zfs", "diff", "-FHt", "tank@a", name], temporary=True)
    assert complaint(["zfs", "send", "-nvP", name], temporary=True)


def test_no_name_that_a_shell_reaches_leads_to_writing() -> None:
    """Whatever public attribute is followed from a ReadOnly, none of the shell's own is met."""
    forbidden = {"upload", "talk", "leave", "start_job", "stop_job", "job", "hands_on", "close"}
    forbidden |= {"console", "files", "through_cuts", "download", "take_back", "home"}
    session = ShellSession.__new__(ShellSession)
    shell = ReadOnly(session)
    queue: list[tuple[str, object]] = [("shell", shell)]
    seen: set[int] = set()
    while queue:
        way, thing = queue.pop()
        for name in (name for name in dir(thing) if not name.startswith("_")):
            assert name not in forbidden, f"{way}.{name}"
            value = getattr(thing, name)
            if id(value) not in seen and not isinstance(value, bool | int | str | bytes):
                seen.add(id(value))
                queue.append((f"{way}.{name}", value))
    assert not hasattr(shell, "__dict__")
    private = [name for name in ReadOnly.__slots__ if not name.startswith("__")]
    assert not private
    assert all(not callable(getattr(shell, name, None)) for name in ("_run", "_stream", "_shell"))


def test_a_list_that_changes_under_the_hand_is_typed_as_it_was_checked() -> None:
    class Sly(list[str]):
        turns = 0

        def __iter__(self) -> Iterator[str]:
            self.turns += 1
            return iter(["uname", "-r"] if self.turns == 1 else ["rm", "-rf", "/"])

    fake = Fake()
    ReadOnly(fake).run(Sly(["uname"]))
    assert fake.typed == ["uname -r"]


# --- the strict reading ---------------------------------------------------------------------------

ALPHABET = st.sampled_from(
    list("abc=/@%+-:,.~ '\"\\$`;&|<>()[]{}*?!#\n\t\r\0é\udc81")
) | st.sampled_from(NASTY)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ALPHABET, max_size=12).map("".join))
@example("a 'b c' d\\''e'")
@example("a=b c")
@example("if")
@example("a  b")
def test_what_is_read_is_what_a_shell_reads(text: str) -> None:
    found = words(text)
    if found is None:
        return
    said = subprocess.run(
        [
            "/bin/sh",
            "-c",
            f"set -- {text}\nfor a; do printf '%s\\0' \"$a\"; done".encode(
                "utf-8", "surrogateescape"
            ),
        ],
        capture_output=True,
        check=True,
        cwd="/",
    ).stdout
    assert said == b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in found)


@given(st.lists(st.text().filter(lambda word: "\0" not in word), min_size=1))
def test_whatever_was_quoted_is_read_back(argv: list[str]) -> None:
    if argv[0]:
        assert words(sh.join(argv)) == tuple(argv)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a ",
        " a",
        "a  b",
        "a\tb",
        "a\nb",
        "a;b",
        "a&",
        "a|b",
        "a>b",
        "a<b",
        "$a",
        "`a`",
        "$(a)",
        '"a"',
        "a*",
        "a?",
        "[a]",
        "~a",
        "{a}",
        "(a)",
        "!a",
        "#a",
        "a=b",
        "x= y",
        "if",
        "while",
        "{",
        "a\\ b",
        "a\\",
        "'a",
        "a 'b",
        "a\0",
        "'a\0'",
        "é",
        "a\r",
    ],
)
def test_whatever_a_shell_would_do_more_with_is_not_read(text: str) -> None:
    assert words(text) is None


# --- a real shell ---------------------------------------------------------------------------------

RECORDER = """#!/bin/sh
{ printf '%s\\0' "${0##*/}"; for word; do printf '%s\\0' "$word"; done; } > "$ZR_RECORD"
"""
PROGRAMS = ("zfs", "zpool", "env", "stat", "dd", "ls", "mount", "readlink", "sha256", "uname")
WORD = st.lists(
    st.sampled_from(NASTY)
    | st.binary(max_size=6).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    max_size=4,
).map("".join)
PATH = WORD.map(lambda word: "/mnt/" + word.replace("\0", ""))
NAME = WORD.map(lambda word: "tank/" + word) | st.just("tank/a b")
SNAPSHOT = st.builds("{}@{}".format, NAME, WORD | st.just("monday"))
ARGV = st.one_of(
    st.builds(lambda *paths: ("stat", "-f", "%@%t%z", "--", *paths), PATH, PATH),
    st.builds(lambda path: ("dd", f"if={path}", "bs=1", "count=1"), PATH),
    st.builds(lambda path: ("sha256", "-q", path), PATH),
    st.builds(lambda path: ("readlink", "-n", path), PATH),
    st.builds(lambda path: ("ls", "-lniRAq", "--", path), PATH),
    st.builds(lambda a, b: ("zfs", "diff", "-FHt", a, b), SNAPSHOT, SNAPSHOT | NAME),
    st.builds(lambda a, b: ("zfs", "send", "-nvP", "-i", a, b), SNAPSHOT, SNAPSHOT),
    st.builds(lambda a, b: ("zfs", "get", "-Hp", "-o", "value", "written@" + a, b), WORD, NAME),
    st.builds(lambda a, b: ("zfs", "list", "-Hp", "-o", a, b), WORD, NAME),
    st.builds(lambda a: ("zpool", "list", "-Hp", "-o", "name", a), WORD),
    st.builds(lambda a: ("mount", a), WORD),
    st.lists(WORD | st.sampled_from([*PROGRAMS, "list", "send", "-n"]), max_size=5).map(tuple),
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with one file, and stand-ins beside it that write down how they were called."""
    here = tmp_path_factory.mktemp("bench")
    (here / "bin").mkdir()
    (here / "work").mkdir()
    (here / "work" / "keep").write_text("kept")
    for name in PROGRAMS:
        (here / "bin" / name).write_text(RECORDER)
        (here / "bin" / name).chmod(0o755)
    return here


def _called(bench: Path, kind: str, text: str) -> tuple[list[bytes], set[str]]:
    """Let a real shell run `text`; return what was called, and what lies in its directory then."""
    record = bench / "record"
    record.unlink(missing_ok=True)
    program, args = SHELLS[kind]
    subprocess.run(
        [program, *args, "-c", text.encode("utf-8", "surrogateescape")],
        cwd=bench / "work",
        env={
            "PATH": f"{bench / 'bin'}:/usr/bin:/bin",
            "ZR_RECORD": str(record),
            "HOME": "/nowhere",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    called = record.read_bytes().split(b"\0")[:-1] if record.exists() else []
    return called, {name.name for name in (bench / "work").iterdir()}


@pytest.mark.parametrize("kind", [kind for kind in SHELLS if Path(SHELLS[kind][0]).exists()])
def test_no_name_smuggles_anything_past_a_real_shell(bench: Path, kind: str) -> None:
    reached = 0

    @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
    @given(ARGV)
    def attempt(argv: tuple[str, ...]) -> None:
        nonlocal reached
        try:
            text = ReadOnly(Fake(), allow_temporary_snapshot=True).text(argv)
        except NotReadOnly:
            return
        reached += 1
        called, there = _called(bench, kind, text)
        assert called == [word.encode("utf-8", "surrogateescape") for word in argv]
        assert there == {"keep"}

    attempt()
    assert reached > 50


@pytest.mark.parametrize("nasty", [*NASTY, "".join(chr(0xDC00 + n) for n in range(0x80, 0x100))])
def test_each_nasty_name_alone(bench: Path, nasty: str) -> None:
    argv = ("stat", "-f", "%z", "--", f"/mnt/{nasty}", f"/{nasty}/x")
    called, there = _called(bench, "dash", ReadOnly(Fake()).text(argv))
    assert called == [word.encode("utf-8", "surrogateescape") for word in argv]
    assert there == {"keep"}


# --- through the console --------------------------------------------------------------------------


HANG = """#!/bin/sh
echo $$ > {pid}
[ $1 = diff ] && exec yes
exec sleep 600
"""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[tuple[ShellSession, Path]]:
    """A session whose stat(1) writes down how it was called, and whose zfs(8) never ends."""
    recorder = RECORDER.replace('"$ZR_RECORD"', str(tmp_path / "record"))
    programs = {"stat": recorder, "zfs": HANG.format(pid=tmp_path / "pid")}
    bin_ = standins.write(tmp_path / "bin", programs)
    with standins.opened(bin_, token="f", log=tmp_path / "log") as found:
        yield found, tmp_path


def test_every_byte_of_a_name_reaches_the_target(session: tuple[ShellSession, Path]) -> None:
    shell, here = session
    path = "/" + bytes(byte for byte in range(1, 256) if byte != 0x2F).decode(
        "utf-8", "surrogateescape"
    )
    result = ReadOnly(shell).run(("stat", "-f", "%z", "--", path))
    assert result.status == 0
    assert (here / "record").read_bytes().split(b"\0")[4] == path.encode("utf-8", "surrogateescape")
    assert "\\xff" in (here / "log").read_text()


@pytest.mark.parametrize(
    "argv", [("zfs", "list", "-H"), ("zfs", "diff", "-FHt", "tank@a", "tank@b")]
)
def test_a_stream_is_stopped_whether_it_speaks_or_not(
    session: tuple[ShellSession, Path], argv: tuple[str, ...]
) -> None:
    shell = ReadOnly(session[0])
    stop = threading.Event()
    threading.Timer(0.7, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        shell.stream(argv, lambda _: None, timeout=60, stop=stop)
    assert time.monotonic() - began < 5
    pid = int((session[1] / "pid").read_text())
    until = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()
    assert shell.run(("uname",)).text.strip() == os.uname().sysname
    with pytest.raises(Cancelled):
        shell.stream(("uname",), lambda _: None, stop=stop)
