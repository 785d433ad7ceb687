"""The backup server on the real thing: OpenZFS, OpenSSH, encryption by dm-crypt.

First the receiver and the keys, on a vault that is made without the flow; then the flow itself.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from zrwizard.freebsd import sshd
from zrwizard.keyring import ca, issue, krl
from zrwizard.keyring.dial import DialError, SshDial
from zrwizard.keyring.store import Keyring
from zrwizard.secrets import Secrets

from . import cuts, knox, search, stolen
from .knox import NAME, POOL, Knox, Vault
from .machines import Image
from .serving import Serving, begins

pytestmark = pytest.mark.guest
NOW = time.time


@pytest.fixture(scope="module")
def vault(guest_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault with nothing open, its receiver, and the doors of both keys."""
    with knox.running(guest_image, tmp_path_factory.mktemp("knox")) as box:
        made = knox.make_vault(box)
        try:
            yield made
        finally:
            made.dial.close()


DATA: dict[str, str] = {}
"""The datasets into which data had come before their cut: each must have a resume token."""


@pytest.mark.parametrize(
    ("shell", "name"),
    [("dash", name) for name in cuts.CUTS] + [("ash", name) for name in cuts.ASH],
)
def test_a_cut_leaves_nothing_open(vault: Vault, shell: str, name: str) -> None:
    if vault.shell != shell:
        vault.interpreter(shell)
    dataset = f"{shell}-{name}"
    began = time.monotonic()
    had_data = cuts.CUTS[name](vault, dataset)
    seconds = knox.settled(vault.guest)
    if had_data:
        DATA[dataset] = name
    print(f"{name}: {time.monotonic() - began:.0f} s, closed after {seconds:.1f} s")


def test_where_even_the_guardian_was_killed_the_next_session_cleans_up(vault: Vault) -> None:
    with cuts.held(vault) as channel:
        vault.guest.run("pkill -KILL -f zr-receiver")
        channel.cut()
    assert vault.guest.run("[ -e /dev/da0.eli ]", check=False).status == 0, "nothing to clean up"
    with cuts.asked(vault, "space") as channel:
        assert channel.finish(90).status == 0
    knox.settled(vault.guest)


def test_after_all_cuts_the_pool_is_sound_and_a_stream_is_resumed(vault: Vault) -> None:
    """Each dataset into which data had come has a token; one of them is followed to the end."""
    if not DATA:
        name = "dash-client-after-5M"
        cuts.CUTS["client-after-5M"](vault, name)
        DATA[name] = name
        knox.settled(vault.guest)
    with cuts.held(vault) as hold:
        missing = []
        for dataset in DATA:
            token = ask(vault, f"token {dataset}")
            if not token.startswith("1-"):
                missing.append(dataset)
        assert not missing, missing
        rest = vault.box.root(f"zfs send -t {token}")
        assert len(rest) < len(vault.stream), "it begins anew"
        reply = vault.dial.run("receive", f"receive {dataset}", vault.port, stdin=rest, timeout=120)
        assert reply.status == 0, reply.err
        sent = vault.guest.out("zfs get -Hp -o value guid source/data@one")
        assert f"{POOL}/{dataset}@one\tsnapshot\t{sent.strip()}\t" in ask(vault, "inventory")
        assert " ONLINE" in ask(vault, "health")
        scrubbed = vault.guest.out(f"zpool scrub -w {POOL} && zpool status {POOL}", timeout=300)
        assert "repaired 0B" in scrubbed
        assert "with 0 errors" in scrubbed
        assert "No known data errors" in scrubbed
        vault.guest.run(f"zfs mount {POOL}/{dataset} 2> /dev/null; sync")
        hold.end()
        assert hold.line(60) == b"closed"
    knox.settled(vault.guest)


def ask(vault: Vault, request: str) -> str:
    """The answer to a request inside a hold."""
    reply = vault.dial.run("receive", request, vault.port)
    assert reply.status == 0, (request, reply)
    return reply.out.decode()


def test_one_at_a_time(vault: Vault) -> None:
    """Inside a hold: questions are answered, and a second hold, key or receive is refused."""
    with cuts.held(vault) as hold:
        assert vault.dial.run("receive", "hold", vault.port).status == 75
        assert vault.deliver() in (70, 75)
        first = vault.dial.open("receive", "receive at-a-time", vault.port)
        cuts.fed(vault, first, 1 << 20)
        assert vault.dial.run("receive", "receive another", vault.port, stdin=b"").status == 75
        assert vault.dial.run("receive", "abandon at-a-time", vault.port).status == 75
        assert ask(vault, "inventory").startswith(f"{POOL}\tfilesystem\t")
        assert "available" in ask(vault, "space")
        first.cut()
        hold.end()
        assert hold.line(60) == b"closed"
    knox.settled(vault.guest)


def test_a_stream_cannot_destroy_what_the_server_keeps(vault: Vault) -> None:
    """The sender has destroyed a snapshot; with force=no the server keeps it, with yes it goes."""
    guest, box = vault.guest, vault.box
    guest.run(
        "zfs create -p source/kept/child && dd if=/dev/urandom of=/source/kept/f bs=1m count=1 && "
        "zfs snapshot -r source/kept@old && zfs snapshot -r source/kept@base"
    )
    whole = box.root("zfs send -R source/kept@base")
    guest.run(
        "zfs destroy -r source/kept@old && zfs destroy -r source/kept/child && "
        "echo new > /source/kept/g && zfs snapshot -r source/kept@next"
    )
    more = box.root("zfs send -R -I @base source/kept@next")
    again = box.root("zfs send -R source/kept@next")

    def received(stream: bytes, name: str = "kept") -> int:
        return vault.dial.run("receive", f"receive {name}", vault.port, stdin=stream).status

    with cuts.held(vault) as hold:
        assert received(whole) == 0
        assert received(whole, "lost") == 0
        received(more)
        assert received(again) != 0, "a full stream went over what was there"
        names = {row.split("\t")[0] for row in ask(vault, "inventory").splitlines()}
        for kept in ("kept@old", "kept@base", "kept/child@old", "kept/child@base"):
            assert f"{POOL}/{kept}" in names, (kept, names)
        assert f"{POOL}/kept@next" in names, "the new one did not come"
        hold.end()
        assert hold.line(60) == b"closed"
    knox.settled(guest)
    vault.configure(force=True)
    try:
        with cuts.held(vault) as hold:
            assert received(more, "lost") == 0
            names = {row.split("\t")[0] for row in ask(vault, "inventory").splitlines()}
            assert f"{POOL}/lost@next" in names
            assert f"{POOL}/lost@old" not in names, "the stream was a harmless one"
            assert f"{POOL}/lost/child@base" not in names
            hold.end()
            hold.finish(60)
    finally:
        vault.configure()
    knox.settled(guest)


# --- a stolen key --------------------------------------------------------------------------------


def test_a_stolen_key_can_do_its_one_thing(vault: Vault, tmp_path: Path) -> None:
    """Other commands, shells, files, ports: everything is really tried from outside."""
    guest = vault.guest
    guest.run(f"rm -f {stolen.CANARY}")
    for role in ("receive", "deliver"):
        thief = stolen.Thief(vault, role, tmp_path)
        with thief.connected():
            requests = stolen.INJECTIONS if role == "receive" else stolen.AS_DELIVERER
            for request in requests:
                status, said = thief.asks(request, b"id\n")
                assert status not in (0, 255), (role, request[:60], status, said[:200])
                assert b"uid=" not in said, (role, request, said)
            assert b"uid=" not in thief.run("-tt", "root@127.0.0.1", stdin=b"id\nexit\n")[1]
            assert b"uid=" not in thief.run("-T", "root@127.0.0.1", stdin=b"id\nexit\n")[1]
            for tool in ("scp", "scp -O", "sftp"):
                assert not thief.copies(tool, tmp_path), (role, tool)
            assert b"SSH-" not in thief.through_stdio_forward()
        assert b"SSH-" not in thief.through_local_forward()
        assert b"SSH-" not in thief.through_socks()
        assert thief.remote_forward() == 255
    assert guest.run(f"[ -e {stolen.CANARY} ]", check=False).status != 0
    assert guest.run("sockstat -l | grep -q ':4999 '", check=False).status != 0
    knox.settled(guest)


def test_the_product_tries_the_same_as_a_thief(vault: Vault) -> None:
    assert vault.dial.tries("receive", vault.port) == ()
    assert vault.dial.tries("deliver", vault.port) == ()
    knox.settled(vault.guest)


def test_a_stolen_key_hands_in_nothing_else(vault: Vault, tmp_path: Path) -> None:
    """No variable, no agent, no display and no terminal reach the script's process."""
    vault.configure(wait=5)
    thief = stolen.Thief(vault, "receive", tmp_path)
    command = thief.ssh(
        *("-A", "-X", "-tt", "-o", "SendEnv=LC_*", "-o", "SetEnv=LC_ALL=stolen ENV=/tmp/x FOO=bar"),
        *("root@127.0.0.1", "hold"),
        ride=False,
    )
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as held:
        try:
            cuts.wanted(vault)
            seen = vault.guest.out(
                "for p in $(pgrep -f 'zr-receiver knox receive '); do "
                "tr '\\0' '\\n' < /proc/$p/environ; readlink /proc/$p/fd/0; done; ls /tmp"
            )
        finally:
            held.kill()
            vault.configure()
    assert "SSH_ORIGINAL_COMMAND=hold" in seen
    for word in (
        "stolen",
        "FOO",
        "ENV=",
        "SSH_AUTH_SOCK",
        "DISPLAY",
        "SSH_TTY",
        "/dev/pts",
        "ssh-",
    ):
        assert word not in seen, (word, seen)
    knox.settled(vault.guest)


def copied(vault: Vault, directory: Path) -> tuple[Keyring, SshDial]:
    """The same keys in another place, so that a certificate may be spoilt, and their dial."""
    shutil.copytree(vault.keyring.directory, directory / NAME)
    keyring = Keyring.open(directory, NAME)
    config = keyring.path("ssh_config")
    text = config.read_text().replace(str(vault.keyring.directory), str(keyring.directory))
    config.write_text(text)
    return keyring, SshDial(keyring, vault.secrets)


def refused(dial: SshDial, vault: Vault) -> DialError:
    """Why the key that receives is not let in."""
    with pytest.raises(DialError) as caught:
        dial.run("receive", "space", vault.port)
    return caught.value


def forged(keyring: Keyring, vault: Vault, after: int, before: int, serial: int = 77) -> None:
    """Put a certificate of the real CA in the place of the one for `receive`."""
    secret = vault.secrets.get("ca-passphrase")
    assert secret
    authority = issue.open_private(keyring, "ca", secret)
    key = ca.open_public(keyring.text("receive.pub"))
    terms = ca.Terms(serial, "knox-receive", ("root",), after, before)
    command = issue.force_command(keyring.record, "receive")
    line = ca.user_certificate(authority, key, terms, command)
    keyring.write("receive-cert.pub", line.encode())


def test_a_certificate_out_of_its_time_is_refused_in_words(vault: Vault, tmp_path: Path) -> None:
    keyring, dial = copied(vault, tmp_path)
    day, now = 86400, int(NOW())
    forged(keyring, vault, now + day, now + 2 * day)
    error = refused(dial, vault)
    assert error.kind == "not yet valid", error.what
    assert "clock" in f"{error.what} {error.now}"
    forged(keyring, vault, now - 2 * day, now - day)
    error = refused(dial, vault)
    assert error.kind == "expired", error.what
    dial.close()


def test_a_certificate_of_somebody_else_or_none_is_refused(vault: Vault, tmp_path: Path) -> None:
    keyring, dial = copied(vault, tmp_path)
    other = ca.make_key(None, "other")
    key = ca.open_public(keyring.text("receive.pub"))
    terms = ca.Terms(5, "knox-receive", ("root",), 0, int(NOW()) + 86400)
    line = ca.user_certificate(ca.open_key(other.private, None), key, terms)
    keyring.write("receive-cert.pub", line.encode())
    assert refused(dial, vault).kind == "permission denied"
    keyring.path("receive-cert.pub").unlink()
    assert refused(dial, vault).kind == "permission denied"
    dial.close()


def test_a_revoked_certificate_is_refused(vault: Vault, tmp_path: Path) -> None:
    """By its serial number, through a KRL; its successor is let in again."""
    keyring, dial = copied(vault, tmp_path)
    forged(keyring, vault, 0, int(NOW()) + 86400, serial=78)
    # The door lets it in (nothing waits for 69 or 75: the deliverer is not asked).
    assert dial.run("receive", "nonsense", vault.port).status == 77
    entry = keyring.record.latest("receive")
    assert entry
    keyring.enter(dataclasses.replace(entry, serial=78))
    krl.revoke(keyring, 78, int(NOW()))
    knox.revoke(vault.guest, keyring)
    try:
        assert refused(dial, vault).kind == "revoked"
        assert vault.dial.run("receive", "nonsense", vault.port).status == 77, "both are refused"
    finally:
        knox.revoke(vault.guest, vault.keyring)
    dial.close()


# --- the flow -------------------------------------------------------------------------------------


def test_a_vault_is_set_up_and_its_key_is_nowhere(guest_image: Image, tmp_path: Path) -> None:
    """`zrwizard server` on a blank box, killed twice; then the disk's key is looked for."""
    vm, operator = tmp_path / "vm", tmp_path / "operator"
    vm.mkdir()
    operator.mkdir()
    with knox.running(guest_image, vm) as box, search.Sampler() as sampler:
        box.guest.put("/run/zg/sampler", search.GUEST_SAMPLER.encode())
        box.guest.run("setsid sh /run/zg/sampler < /dev/null > /dev/null 2>&1 &")
        somebody = Serving(box, operator)
        for step in ("geli-init", "sshd-restart"):
            status, events = somebody.run(until=begins(step))
            assert status == -signal.SIGKILL, events[-3:]
        status, events = somebody.run()
        assert status == 0, json.dumps(events[-3:], indent=1)
        assert events[-1]["event"] == "RunFinished"
        assert any(event.get("resumed") for event in events if event["event"] == "RunStarted")
        knox.settled(box.guest)
        initialised = [e for e in events if e["event"] == "StepDone" and e["step"] == "geli-init"]
        assert len(initialised) == 1
        a_vault_serves(somebody)
        key_is_nowhere(somebody, sampler)


def a_vault_serves(somebody: Serving) -> None:
    """By the keys alone, without the flow: the disk opens, takes a stream, and is shut again."""
    guest = somebody.box.guest
    keyring = Keyring.open(somebody.keys.parent, NAME)
    dial = SshDial(keyring, Secrets())
    hold = dial.open("receive", "hold", somebody.port)
    assert dial.run("deliver", "", somebody.port, stdin=somebody.geli_key).status == 0
    assert hold.line(60) == b"ready"
    assert guest.out("geli status -s").split() == ["da0.eli", "ACTIVE", "da0"]
    assert guest.out(f"zfs get -H -o value mounted {POOL}").strip() == "no"
    rows = dial.run("receive", "inventory", somebody.port).out.decode().splitlines()
    assert rows[0].startswith(f"{POOL}\tfilesystem\t")
    hold.end()
    assert hold.line(60) == b"closed"
    dial.close()
    knox.settled(guest)
    assert guest.run("sockstat -l | grep -q ':22 '", check=False).status != 0, (
        "the old door is open"
    )
    for file in ("escrow.age", "escrow.tar.enc", "geli.metadata", "sheet.txt"):
        assert keyring.path(file).stat().st_size, file


def key_is_nowhere(somebody: Serving, sampler: search.Sampler) -> None:
    """Nor is a part of it; and what is planted afterwards is found by the same search."""
    box, needles = somebody.box, search.Needles(somebody.geli_key)
    assert needles.inside((somebody.keys / "geli.key").read_bytes())
    here = [p for p in somebody.directory.rglob("*") if somebody.keys not in p.parents]
    here += [*box.directory.glob("*.log"), *box.images()]
    assert sampler.rounds > 50
    assert any(b"zr-receiver" in text or b"knox-receive" in text for text in sampler.seen)
    assert not sampler.shows(needles), "a process of this machine shows it"
    everything_in(box)
    seen = box.guest.out("cat /run/zg/samples")
    assert seen.count("round ") > 50
    assert "geli" in seen
    assert not needles.inside(seen.encode()), "a process of the server shows it"
    assert not needles.files(here)
    passphrases = [knox.PASSPHRASE.encode(), knox.ESCROW_PASSPHRASE.encode()]
    state = [p for p in (somebody.directory / "state").rglob("*") if p.is_file()]
    for path in (*state, somebody.directory / "events.json", *box.images()):
        assert not search.holds(path, passphrases), path
    plant(somebody, sampler, needles)


def plant(somebody: Serving, sampler: search.Sampler, needles: search.Needles) -> None:
    box, text = somebody.box, somebody.geli_key.decode().strip()
    raw = bytes.fromhex(text)
    with subprocess.Popen(["sleep", "60"], env={"KEY": text}) as process:
        sampler.look()
        process.kill()
    assert sampler.shows(needles), "what a process here shows is not seen"
    coded = base64.b64encode(raw).decode()
    box.guest.run(f"sh -c 'sleep 3; :' {text}; echo 'x{coded}' > /var/tmp/planted")
    assert needles.inside(box.guest.run("cat /run/zg/samples").stdout), "nor there"
    box.guest.run("rm -rf /run/zg/samples /run/zg/agent/*")
    everything_in(box)
    assert needles.file(box.directory / "source.img"), "nor what a file of the server holds"
    with (box.disk).open("r+b") as disk:
        disk.seek(301 << 20)
        disk.write(raw[:32])
    assert needles.file(box.disk), "nor what lies on a disk"


def everything_in(box: Knox) -> None:
    """Write all files of the server, wherever they are, to a disk of which we have the file."""
    box.guest.run(
        "cd / && rm -rf /run/zg/agent/out && dd if=/dev/zero of=/dev/vtbd1 bs=1m 2> /dev/null; "
        "for d in *; do case $d in proc | sys) ;; *) echo $d ;; esac; done | "
        "xargs busybox tar -cf /dev/vtbd1 2> /dev/null; sync; blockdev --flushbufs /dev/vtbd1",
        timeout=240,
    )
    assert box.guest.out("busybox tar -tf /dev/vtbd1 | grep -c etc/ssh/zrwizard", timeout=240)


def test_a_plain_server_is_set_up(guest_image: Image, tmp_path: Path) -> None:
    """An extra sshd beside the box's own, a pool that stays imported, nothing mounted."""
    vm, operator = tmp_path / "vm", tmp_path / "operator"
    vm.mkdir()
    operator.mkdir()
    with knox.running(guest_image, vm) as box:
        somebody = Serving(box, operator, "plain")
        status, events = somebody.run()
        assert status == 0, json.dumps(events[-3:], indent=1)
        guest = box.guest
        assert guest.out("geli status") == ""
        keyring = Keyring.open(somebody.keys.parent, NAME)
        assert not keyring.has("geli.key")
        stream = knox.make_stream(box, 2)  # by the box's own sshd, which is still there
        dial = SshDial(keyring, Secrets())
        reply = dial.run("receive", "receive data", somebody.port, stdin=stream, timeout=120)
        assert reply.status == 0, reply
        sent = guest.out("zfs get -Hp -o value guid source/data@one")
        assert guest.out(f"zfs get -Hp -o value guid {POOL}/data@one") == sent
        assert guest.out(f"zfs get -Hp -o value mounted {POOL}/data") == "no\n"
        as_after_a_reboot(somebody)
        assert dial.run("receive", "space", somebody.port).status == 0
        assert POOL in guest.lines("zpool list -H -o name"), "it was not imported again"
        dial.close()


def as_after_a_reboot(somebody: Serving) -> None:
    """The extra sshd and the pool are gone, and rc(8) runs what rc.conf enables."""
    guest = somebody.box.guest
    guest.run(f"{sshd.stop(sshd.paths(NAME).pid)}; zpool export {POOL}")
    guest.wait_for(f"! sockstat -l | grep -q ':{somebody.port} '", 20)
    guest.run("service zrwizard start", timeout=120)
    assert guest.run(f"sockstat -l | grep -q ':{somebody.port} '", check=False).status == 0
