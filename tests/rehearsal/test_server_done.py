"""A box that the flow `server` has set up: its doors, what they refuse, and who judges it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.rehearsal.backshell import CHEAP, Heard, hurried, set_up
from zrwizard import rehearse, rehearse_server
from zrwizard.keyring import ca, issue
from zrwizard.keyring.store import Keyring
from zrwizard.rehearsal import Rehearsal, door
from zrwizard.rehearsal.sshdstate import Sshd
from zrwizard.run.events import Exit, RunFinished
from zrwizard.secrets import Secrets

NO_DISK, TOO_LATE, BROKEN, BUSY, FORBIDDEN = 69, 70, 74, 75, 77


class Lost(Exception):
    """What the simulated ssh complains of: a kind, or "" and ssh's own words."""

    def __init__(self, kind: str, words: str, who: str, port: int) -> None:
        super().__init__(f"{kind}: {words} ({who}, {port})")
        self.kind, self.words = kind, words


class Said(NamedTuple):
    """How a command ended."""

    status: int
    out: bytes
    err: str


@dataclass
class Done:
    """A finished server, and the keys of its operator."""

    made: Rehearsal
    keys: Path
    finished: RunFinished
    heard: Heard

    @property
    def key(self) -> bytes:
        return (self.keys / "geli.key").read_bytes()

    def dial(self, directory: Path | None = None) -> Any:
        return self.made.dial(directory or self.keys, Lost, Said)

    def ask(self, request: str, stdin: bytes = b"", who: str = "receive") -> Said:
        answer = self.dial().run(who, request, 22, stdin=stdin, timeout=20)
        assert isinstance(answer, Said)
        return answer

    def held(self) -> Any:
        """A hold that is open: the key was delivered."""
        channel = self.dial().open("receive", "hold", 22)
        assert self.ask("", self.key, "deliver") == Said(0, b"accepted\n", "")
        assert channel.line(20) == b"ready"
        return channel

    def closed(self, seconds: float = 10.0) -> None:
        """Nothing is attached, nothing imported."""
        until = time.monotonic() + seconds
        while self.made.run("geli status; zpool list -H")[1]:
            assert time.monotonic() < until
            time.sleep(0.05)

    def lacks(self) -> str:
        return " ".join(self.made.would_serve(self.keys))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """One server for all: every test leaves it as it was."""
    state = tmp_path_factory.mktemp("state")
    patch = pytest.MonkeyPatch()
    hurried(patch)
    with Rehearsal(speed=1000, scenario="server") as made:
        finished, heard = set_up(made, state)
        yield Done(made, state / "keys" / "knox", finished, heard)
    patch.undo()


def test_it_is_a_good_server_and_nobody_else_s_disk_was_touched(done: Done) -> None:
    assert (done.finished.exit, done.finished.summary) == (
        Exit.DONE,
        "Set up the vault knox on da0: done.",
    )
    assert done.made.would_serve(done.keys) == ()
    assert done.key.strip().decode() not in done.heard.text
    assert rehearse_server.CA_WORDS not in done.heard.text
    assert "PRIVATE KEY" not in done.heard.text


# --- the doors ------------------------------------------------------------------------------------


def test_the_login_key_runs_commands_with_their_input_and_status(done: Done) -> None:
    dial = done.dial()
    assert dial.run("login", "id -un; exit 3", 22) == Said(3, b"root\n", "")
    data = bytes(range(256)) * 1000
    assert dial.run("login", "cat", 22, stdin=data) == Said(0, data, "")
    assert dial.run("login", "nosuch", 22).status == 127
    channel = dial.open("login", "echo one; cat; echo two >&2", 22)
    assert channel.line(10) == b"one"
    channel.send(b"more\n")
    assert channel.line(10) == b"more"
    assert channel.finish(10) == Said(0, b"", "two\n")
    with pytest.raises(Lost, match="ended"):
        dial.open("login", "true", 22).line(10)


def test_each_key_can_do_its_one_thing(done: Done) -> None:
    for who, request in (
        ("deliver", "inventory"),
        ("deliver", "id"),
        ("deliver", "key; id"),
        ("receive", "key"),
        ("receive", "id"),
        ("receive", ""),
        ("receive", "inventory; id"),
        ("receive", "receive x$(id)"),
        ("receive", "receive ../zroot"),
        ("receive", "receive a b"),
        ("receive", "hold now"),
        ("receive", "inventory\nid"),
        ("receive", "x" * 300),
    ):
        answer = done.ask(request, who=who)
        assert answer.status == FORBIDDEN, request
        assert answer.out == b""
        assert answer.err.count("\n") == 1
        assert "uid=" not in answer.err
    assert done.dial().tries("deliver", 22) == ()
    assert done.dial().tries("receive", 22) == ()
    assert "run any command" in " ".join(done.dial().tries("login", 22))
    done.closed()


def test_a_hold_opens_the_disk_and_closes_it(done: Done) -> None:
    channel = done.held()
    assert "da0.eli" in done.made.run("geli status")[1]
    assert done.made.run("zfs mount")[1] == ""
    assert done.ask("hold").status == BUSY
    rows = done.ask("inventory").out.decode().splitlines()
    assert rows[0].split("\t")[:2] == ["backup", "filesystem"]
    assert len(rows[0].split("\t")) == 8
    assert done.ask("space").out.startswith(b"used\t")
    assert b" state: ONLINE\n" in done.ask("health").out
    assert done.ask("token nosuch").status == 1
    assert done.ask("", done.key, "deliver").status == BUSY
    channel.end()
    assert channel.line(10) == b"closed"
    assert channel.finish(10) == Said(0, b"", "")
    done.closed(1)


@pytest.mark.parametrize(
    ("key", "status", "words"),
    [
        (b"f" * 128 + b"\n", BROKEN, "does not open the disk"),
        (b"", BROKEN, "was empty"),
        (b"x" * 70000, FORBIDDEN, "at most 64 KiB"),
    ],
)
def test_a_wrong_key_opens_nothing(done: Done, key: bytes, status: int, words: str) -> None:
    channel = done.dial().open("receive", "hold", 22)
    answer = done.ask("", key, "deliver")
    assert answer.status == status
    assert words in answer.err
    assert channel.finish(20).status == status
    done.closed(1)


def test_without_a_key_it_gives_up(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LEAST_WAIT", 0.5)
    answer = done.dial().run("receive", "inventory", 22, timeout=20)
    assert answer.status == TOO_LATE
    assert done.ask("", done.key, "deliver").status == TOO_LATE
    done.closed(1)


def test_the_disk_is_found_by_its_serial_number_whatever_its_name(done: Done) -> None:
    done.made.replug()
    try:
        channel = done.held()
        assert "da1.eli" in done.made.run("geli status")[1]
        channel.finish(10)
        done.closed()
    finally:
        done.made.replug()
    disk = done.made.target.disks[1]
    disk.serial = "GONE"
    try:
        assert done.ask("hold").status == NO_DISK
    finally:
        disk.serial = done.made.scenario.disk_serial
    assert done.made.would_serve(done.keys) == ()


def test_a_cut_line_closes_everything_and_the_rest_can_follow(done: Done) -> None:
    channel = done.held()
    done.made.run(
        "mkdir /tmp/m; zfs create -o canmount=noauto -o mountpoint=/tmp/m backup/s;"
        "zfs mount backup/s; dd if=/dev/random of=/tmp/m/d bs=65536 count=8 2>/dev/null;"
        "zfs unmount backup/s; rmdir /tmp/m; zfs snapshot backup/s@t"
    )
    stream = done.dial().run("login", "zfs send backup/s@t", 22).out
    receiving = done.dial().open("receive", "receive r", 22)
    receiving.send(stream[:300000])
    second = done.ask("receive q", stream)
    assert second.status == BUSY
    receiving.cut()
    channel.cut()
    done.closed()
    channel = done.held()
    token = done.ask("token r").out.strip().decode()
    rest = done.dial().run("login", f"zfs send -t {token}", 22).out
    assert 0 < len(rest) < len(stream)
    assert done.ask("receive r", rest) == Said(0, b"", "")
    guids = done.made.run("zfs get -Hp -o value guid backup/s@t backup/r@t")[1].split()
    assert guids[0] == guids[1]
    assert done.ask("receive r", stream).status == 1
    half = done.ask("receive h", stream[:200000])
    assert half.status == 1
    assert "Partially received snapshot is saved." in half.err
    assert done.ask("abandon h").status == 0
    assert "backup/h" not in done.ask("inventory").out.decode()
    done.made.run("zfs destroy -r backup/s; zfs destroy -r backup/r")
    channel.finish(10)
    done.closed()


def issued(done: Done, there: Path, who: str, **changed: Any) -> None:
    """Give the key `who` in `there` another certificate, by the same CA or by `authority`."""
    ring = Keyring.open(done.keys.parent, "knox")
    words = rehearse_server.CA_WORDS.encode()
    authority = changed.pop("authority", None) or ca.open_key(ring.read("ca"), words)
    now = int(time.time())
    terms = ca.Terms(
        **{
            "serial": 900,
            "identity": f"knox-{who}",
            "principals": ("root",),
            "after": now - 300,
            "before": now + 3600,
            **changed,
        }
    )
    public = ca.open_public(ring.text(f"{who}.pub"))
    line = ca.user_certificate(authority, public, terms)
    path = there / f"{who}-cert.pub"
    path.write_text(f"{line}\n")


@pytest.fixture
def copy(done: Done, tmp_path: Path) -> Path:
    """The operator's keys, to be spoiled."""
    there = tmp_path / "knox"
    shutil.copytree(done.keys, there)
    return there


def refused(done: Done, there: Path, who: str = "login", port: int = 22) -> str:
    """ssh's words where it gets no session."""
    with pytest.raises(Lost) as caught:
        done.dial(there).run(who, "id", port)
    assert caught.value.kind == ""
    return caught.value.words


def logged(done: Done) -> str:
    return str(done.made.run("tail -3 /var/log/auth.log")[1])


DENIED = "Permission denied (publickey)"
FAULTS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"after": int(time.time()) + 3000, "before": int(time.time()) + 9000}, "not yet valid"),
    ({"after": 1000, "before": 2000}, "expired"),
    ({"principals": ("han",)}, "name is not a listed principal"),
)


@pytest.mark.parametrize(("changed", "reason"), FAULTS)
def test_a_certificate_that_will_not_do_is_refused(
    done: Done, copy: Path, changed: dict[str, Any], reason: str
) -> None:
    issued(done, copy, "login", **changed)
    assert DENIED in refused(done, copy)
    assert reason in logged(done)


def test_another_ca_is_not_trusted(done: Done, copy: Path) -> None:
    other = ca.make_key(None, "other")
    issued(done, copy, "login", authority=ca.open_key(other.private, None))
    assert DENIED in refused(done, copy)
    assert "not trusted" in logged(done)


def test_a_key_without_its_certificate_or_with_another_s_is_refused(done: Done, copy: Path) -> None:
    shutil.copy(copy / "receive-cert.pub", copy / "login-cert.pub")
    assert DENIED in refused(done, copy)
    (copy / "login-cert.pub").unlink()
    assert DENIED in refused(done, copy)


def test_a_revoked_certificate_is_refused_and_so_is_everybody_without_the_list(
    done: Done, copy: Path
) -> None:
    folder = "/etc/ssh/zrwizard/knox"
    serial = ca.read_certificate((copy / "login-cert.pub").read_text()).serial
    krl = f"ssh-keygen -q -k -f {folder}/revoked -s {folder}/ca.pub"
    done.made.run(f"cp -p {folder}/revoked /root/r; echo 'serial: {serial}' >/root/spec")
    done.made.run(f"{krl} /root/spec")
    assert DENIED in refused(done, copy)
    assert "revoked by file" in logged(done)
    assert done.dial(copy).run("receive", "id", 22).status == FORBIDDEN
    done.made.run(f"rm {folder}/revoked")
    assert DENIED in refused(done, copy, "receive")
    done.made.run(f"cp -p /root/r {folder}/revoked; rm /root/r /root/spec")
    assert done.dial(copy).run("login", "true", 22).status == 0


def test_the_server_must_prove_itself_too(done: Done, copy: Path) -> None:
    other = ca.make_key(None, "other")
    (copy / "known_hosts").write_text(f"@cert-authority * {other.public}\n")
    assert "Host key verification failed." in refused(done, copy)
    shutil.copy(done.keys / "known_hosts", copy / "known_hosts")
    elsewhere = copy.rename(copy.with_name("vault"))
    assert "name is not a listed principal" in refused(done, elsewhere)


def test_what_is_not_there_does_not_answer(done: Done, copy: Path) -> None:
    assert "port 2222: Connection refused" in refused(done, copy, port=2222)
    done.made.cut_cable()
    assert "Operation timed out" in refused(done, copy)
    done.made.cut_cable(False)
    record = json.loads((copy / "keyring.json").read_text())
    (copy / "keyring.json").write_text(json.dumps({**record, "host": "nosuch.example"}))
    assert "Could not resolve hostname nosuch.example" in refused(done, copy)


def test_a_clock_that_is_wrong_refuses_all(done: Done) -> None:
    done.made.target.clock_skew = -86400.0
    try:
        assert DENIED in refused(done, done.keys)
        assert "not yet valid" in logged(done)
    finally:
        done.made.target.clock_skew = 0.0


# --- the judge ------------------------------------------------------------------------------------

MAIN = "/etc/ssh/sshd_config"
RECEIVER = "/usr/local/libexec/zr-receiver"
CONF = "/usr/local/etc/zrwizard/knox.conf"
SPOILED: tuple[tuple[str, str, str], ...] = (
    # What spoils it on the server, what mends it, and what the judge then says of it.
    (
        'printf %s "$KEY" | geli attach -p -k - da0',
        "geli detach da0",
        "da0.eli is still attached",
    ),
    (f"rm {RECEIVER}", f"cp -p /root/kept{RECEIVER} {RECEIVER}", "zr-receiver is not there"),
    (f"chmod 755 {RECEIVER}; chmod g+w {RECEIVER}", f"chmod 555 {RECEIVER}", "others than root"),
    (f"chmod 444 {RECEIVER}", f"chmod 555 {RECEIVER}", "cannot be run"),
    (f"chown 1001 {RECEIVER}", f"chown root {RECEIVER}", "others than root"),
    (
        f"cp /etc/hosts {RECEIVER}",
        f"cp -p /root/kept{RECEIVER} {RECEIVER}",
        "is not the receiver",
    ),
    (f"rm {CONF}", f"cp -p /root/kept{CONF} {CONF}", "knox.conf is not there"),
    (
        f"sed -i.x s/^serial=.*/serial=WX1/ {CONF}",
        f"cp -p /root/kept{CONF} {CONF}; rm -f {CONF}.x",
        "says serial=WX1",
    ),
    (
        f"sed -i.x s/^shape=.*/shape=plain/ {CONF}",
        f"cp -p /root/kept{CONF} {CONF}; rm -f {CONF}.x",
        "is for a plain server",
    ),
    (f"chmod 666 {CONF}", f"cp -p /root/kept{CONF} {CONF}", "others than root"),
    (
        "echo PasswordAuthentication yes >/root/c; service sshd stop >/dev/null;"
        "/usr/sbin/sshd -f /root/c",
        "pkill -F /var/run/sshd.pid; service sshd start; rm /root/c",
        "passwordauthentication switched on",
    ),
    (
        "service sshd stop",
        "service sshd start",
        "No sshd listens on port 22",
    ),
    (
        "/usr/sbin/sshd -p 2222 -o PidFile=/var/run/t.pid",
        "pkill -F /var/run/t.pid",
        "Another sshd still listens on port 2222",
    ),
    (
        f"echo 'UseDNS yes' >{MAIN}",
        f"cp -p /root/kept{MAIN} {MAIN}",
        f"does not run with {MAIN} as it is now",
    ),
    (
        "chmod 666 /etc/ssh/zrwizard/knox/ca.pub",
        "chmod 644 /etc/ssh/zrwizard/knox/ca.pub",
        "ca.pub can be changed by others",
    ),
    (
        "mv /etc/ssh/zrwizard/knox/revoked /root/r",
        "mv /root/r /etc/ssh/zrwizard/knox/revoked",
        "revokedkeys file is not there",
    ),
    (
        "mv /etc/ssh/zrwizard/knox/host-cert.pub /root/h",
        "mv /root/h /etc/ssh/zrwizard/knox/host-cert.pub",
        "shows no host certificate",
    ),
    (
        "mkdir /root/old; mv /etc/rc.conf.zr* /root/old",
        "mv /root/old/rc.conf.zr* /etc; rmdir /root/old",
        "The old /etc/rc.conf was not kept",
    ),
    (
        "cp -p /etc/rc.conf /root/rc; echo 'sshd_enable YES' >>/etc/rc.conf",
        "mv /root/rc /etc/rc.conf",
        "of /etc/rc.conf is no assignment",
    ),
    (
        "cp -p /etc/fstab /root/fs; echo /dev/ada0p9 >>/etc/fstab",
        "mv /root/fs /etc/fstab",
        "A line of /etc/fstab has 1 words",
    ),
    (
        "mv /etc/ttys /root/ttys",
        "mv /root/ttys /etc/ttys",
        "/etc/ttys is gone",
    ),
    ("printf '%s' \"$KEY\" >/root/key", "rm /root/key", "The disk's key is in /root/key"),
    (
        "mkdir /tmp/x; printf 'a=%s;' \"$KEY\" >/tmp/x/y",
        "rm -r /tmp/x",
        "The disk's key is in /tmp/x/y",
    ),
    (
        "printf 'Z%s' \"$KEY\" | openssl base64 -A >/root/b",
        "rm /root/b",
        "The disk's key is in /root/b",
    ),
    (
        "kenv zr.key=$KEY",
        "kenv zr.key=none",
        "in the kernel's environment (zr.key)",
    ),
)


@pytest.fixture(scope="module")
def kept(done: Done) -> Done:
    """Copies of what the tests spoil are on the server."""
    for path in (RECEIVER, CONF, MAIN):
        got = done.made.run(
            f"mkdir -p /root/kept{Path(path).parent}; cp -p {path} /root/kept{path}"
        )
        assert got[0] == 0, got
    return done


@pytest.mark.parametrize(("spoil", "mend", "words"), SPOILED)
def test_the_judge_sees_what_is_missing(kept: Done, spoil: str, mend: str, words: str) -> None:
    done, key = kept, kept.key.decode()
    # As a variable of the shell, given through its memory, it is among no arguments.
    memory = f"KEY='{key}'\n"
    assert done.made.run(memory + spoil)[0] in (0, 1)
    try:
        assert words in done.lacks()
    finally:
        mended = done.made.run(mend)
        forget(done.made)
    assert done.lacks() == "", mended


def forget(made: Rehearsal) -> None:
    """What ps would have shown is forgotten."""
    made.inside(made.target.long_commands.clear)


def test_the_key_among_arguments_or_on_a_disk_is_seen(kept: Done) -> None:
    done, key = kept, kept.key.decode().strip()
    done.made.run(f"ls {key}")
    assert "among the arguments of a process" in done.lacks()
    forget(done.made)

    def scribble(data: bytes) -> Callable[[], None]:
        def write() -> None:
            disk = done.made.target.disks[0]
            disk.content(4096).head = data

        return write

    done.made.inside(scribble(b"noise" + bytes.fromhex(key) + b"noise"))
    assert "The disk's key stands on ada0 at byte 4096." in done.lacks()
    done.made.inside(scribble(b""))
    assert done.lacks() == ""


def test_somebody_else_s_disk_is_watched(done: Done) -> None:
    def touch(count: int) -> Callable[[], None]:
        def write() -> None:
            done.made.target.disks[2].writes += count

        return write

    done.made.inside(touch(1))
    assert "somebody else's, was written to" in done.lacks()
    done.made.inside(touch(-1))
    assert done.lacks() == ""


def test_a_pool_that_was_not_exported_is_seen(done: Done) -> None:
    key = done.key.decode()
    done.made.run(
        f"KEY='{key}'\nprintf %s \"$KEY\" | geli attach -p -k - da0; zpool import -N backup"
    )
    forget(done.made)
    assert "The pool backup was not exported." in done.lacks()
    done.made.run("zpool set comment=x backup; zfs set atime=on backup")
    assert "has not atime=off" in done.lacks()
    done.made.run("zfs set atime=off backup; zpool export backup; geli detach da0")
    assert done.lacks() == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("geli.key", "geli.key is missing"),
        ("escrow.age", "escrow.age is missing"),
        ("sheet.txt", "sheet.txt is missing"),
        ("geli.metadata", "are not those of da0"),
        ("keyring.json", "holds no keyring"),
    ],
)
def test_what_the_operator_must_have_is_missed(
    done: Done, copy: Path, name: str, words: str
) -> None:
    (copy / name).unlink()
    assert words in " ".join(done.made.would_serve(copy))


def test_the_operator_s_files_are_looked_at(done: Done, copy: Path) -> None:
    (copy / "login").chmod(0o644)
    (copy / "sheet.txt").write_bytes(b"key: " + done.key)
    said = " ".join(done.made.would_serve(copy))
    assert "login in" in said
    assert "can be read by others" in said
    assert "The disk's key stands on the sheet." in said
    (copy / "geli.key").write_bytes(b"0" * 128 + b"\n")
    assert "does not open da0" in " ".join(done.made.would_serve(copy))


def test_the_rehearsal_s_own_verdict(done: Done) -> None:
    done.made.keyring = done.keys
    good = rehearse.judged(done.made, done.finished)
    assert good.exit == Exit.DONE
    assert "The simulated machine is a good backup server" in good.summary
    done.made.run(f"chmod 666 {CONF}")
    bad = rehearse.judged(done.made, done.finished)
    done.made.run(f"chmod 600 {CONF}")
    assert bad.exit == Exit.FAILED
    assert "would be no good backup server" in bad.summary
    failed = RunFinished(int(Exit.REFUSED), "It stopped.", "", "", 1.0)
    assert rehearse.judged(done.made, failed) is failed


def test_the_practice_words_are_told(done: Done) -> None:
    told = dict(rehearse.words(done.made))
    assert told["disk to erase"] == done.made.scenario.disk_serial
    assert rehearse_server.CA_WORDS in told.values()
    assert rehearse_server.ESCROW_WORDS in told.values()
    assert done.made.scenario.root_password in told.values()
    secrets = Secrets()
    rehearse.give(done.made, secrets)
    assert secrets.get("ca-passphrase") is not None
    assert issue.passphrase(secrets.get("escrow-passphrase"))  # type: ignore[arg-type]
    assert CHEAP.rounds < 16


def test_sshd_goes_on_with_the_file_that_it_read(done: Done) -> None:
    before = [s.config for s in done.made.target.sshds if isinstance(s, Sshd)]
    done.made.run(f"cp -p {MAIN} /root/m; echo Nonsense >{MAIN}; service sshd onereload")
    after = [s.config for s in done.made.target.sshds]
    done.made.run(f"mv /root/m {MAIN}")
    assert before == after
    assert done.lacks() == ""


def test_it_comes_up_again_as_it_was_made(done: Done, wire: Any) -> None:
    """The last of all: the box restarts in the middle of a hold."""
    console = wire(done.made)
    channel = done.held()
    console.send("\r")
    console.until(b"login: ")
    done.made.inside(lambda: done.made.target.go_down("reboot"))
    console.until(b"Uptime:")
    console.until(b"FreeBSD/amd64 (knox) (ttyu0)", 30)
    console.until(b"login: ")
    with pytest.raises(Lost, match="closed by remote host"):
        channel.finish(10)
    said = done.made.run("mount; geli status; zpool list -H; swapinfo -k; sockstat -46l -P tcp")[1]
    assert "/dev/ada0p2 on / (ufs, local, noatime)" in said
    assert "tmpfs on /var/log (tmpfs, local)" in said
    assert "da0.eli" not in said.replace("ada0p3.eli", "")
    assert "ada0p3.eli" in said
    assert "*:22 " in said
    assert done.dial().run("login", "hostname", 22) == Said(0, b"knox\n", "")
    channel = done.held()
    assert done.ask("health").status == 0
    channel.finish(10)
    assert done.lacks() == ""
