"""Ways in which a session with the backup server breaks off, each really done to it.

A cut is a function that gets a vault in which nothing is open and the name of a dataset of its own,
does its harm, and returns whether data had come by then (so that a resume token must be there).
None means that it cannot be known. Afterwards everything must close by itself.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from zrwizard.keyring.channel import Channel, DialError

from .knox import Vault, kill, unplugged

Cut = Callable[[Vault, str], bool | None]
MB = 1 << 20
RECEIVER = "zr-receiver knox receive "


# --- the beginnings ------------------------------------------------------------------------------


@contextlib.contextmanager
def asked(vault: Vault, request: str, key: bytes | None = None) -> Iterator[Channel]:
    """A session of the key that receives, with the disk's key delivered to it."""
    channel = vault.dial.open("receive", request, vault.port)
    try:
        status = vault.deliver(key)
        assert status == 0 or key is not None, f"the key was not taken: {status}"
        yield channel
    finally:
        channel.cut()


@contextlib.contextmanager
def held(vault: Vault) -> Iterator[Channel]:
    """A hold that is ready."""
    with asked(vault, "hold") as channel:
        assert channel.line(60) == b"ready"
        yield channel


def fed(vault: Vault, channel: Channel, size: int) -> None:
    """Send the first `size` bytes of the stream, and wait until zfs has taken nearly all."""
    channel.send(vault.stream[:size])
    taken(vault, size - 70_000)


def taken(vault: Vault, size: int) -> None:
    """Wait until the zfs receive in the guest has read `size` bytes."""
    script = (
        "i=0; while :; do for p in $(pgrep -f '^[^ ]*zfs receive'); do "
        "while read -r k v; do [ $k != rchar: ] || n=$v; done < /proc/$p/io; "
        f"[ ${{n:-0}} -lt {max(size, 1)} ] || exit 0; done; "
        "i=$((i + 1)); [ $i -lt 200 ] || exit 1; sleep 0.2; done"
    )
    done = vault.guest.run(script, timeout=90, check=False)
    assert done.status == 0, "zfs receive does not take the stream\n" + vault.guest.out(
        "ps -axww -o pid,ppid,args"
    )


@contextlib.contextmanager
def receiving(vault: Vault, name: str, size: int) -> Iterator[Channel]:
    """A receive into `name` that has taken `size` bytes and waits for more."""
    with asked(vault, f"receive {name}") as channel:
        if size > 100_000:
            fed(vault, channel, size)
        else:
            channel.send(vault.stream[:size])
            running(vault)
        yield channel


def running(vault: Vault) -> None:
    """Wait until zfs receive runs."""
    vault.guest.wait_for("pgrep -f '^[^ ]*zfs receive'", 60)


# --- the client's side ---------------------------------------------------------------------------


def client_after(size: int) -> Cut:
    """kill -9 of the client's ssh when `size` bytes are through."""

    def cut(vault: Vault, name: str) -> bool:
        with receiving(vault, name, size) as channel:
            channel.cut()
        return size >= MB

    return cut


def client_before_the_key(vault: Vault, _name: str) -> bool:
    vault.configure(wait=5)
    channel = vault.dial.open("receive", "hold", vault.port)
    wanted(vault)
    channel.cut()
    vault.configure()
    return False


def wanted(vault: Vault) -> None:
    """Wait until a session waits for the key."""
    vault.guest.wait_for("find /var/run/zrwizard -path '*/open/want' | grep -q .", 30)


def client_while_holding(vault: Vault, _name: str) -> bool:
    with held(vault) as channel:
        channel.cut()
    return False


def client_of_the_hold_while_receiving(vault: Vault, name: str) -> bool:
    with held(vault) as hold:
        channel = vault.dial.open("receive", f"receive {name}", vault.port)
        fed(vault, channel, 2 * MB)
        hold.cut()
        with contextlib.suppress(DialError):
            assert channel.finish(60).status != 0
        channel.cut()
    return True


def stream_ends_early(vault: Vault, name: str) -> bool:
    with receiving(vault, name, 2 * MB) as channel:
        assert channel.finish(60).status != 0
    return True


def no_stream_at_all(vault: Vault, name: str) -> bool:
    with asked(vault, f"receive {name}") as channel:
        assert channel.finish(60).status != 0
    return False


def noise_for_a_stream(vault: Vault, name: str) -> bool:
    with asked(vault, f"receive {name}") as channel:
        with contextlib.suppress(DialError):
            channel.send(bytes(range(256)) * 4096)
        assert channel.finish(60).status not in (0, 75)
    return False


# --- the server's side ---------------------------------------------------------------------------


def killed(pattern: str, which: str = "", size: int = 2 * MB) -> Cut:
    """kill -9 in the guest, of what fits `pattern`, when `size` bytes are through."""

    def cut(vault: Vault, name: str) -> bool:
        with receiving(vault, name, size) as channel:
            kill(vault.guest, pattern, which)
            with contextlib.suppress(DialError):
                assert channel.finish(60).status != 0
        return True

    return cut


def sshd_of_a_hold(vault: Vault, _name: str) -> bool:
    with held(vault):
        kill(vault.guest, "^sshd: root@notty")
    return False


def script_of_a_hold_while_receiving(vault: Vault, name: str) -> bool:
    with held(vault):
        channel = vault.dial.open("receive", f"receive {name}", vault.port)
        fed(vault, channel, 2 * MB)
        kill(vault.guest, f"sh [^ ]*{RECEIVER}")
        channel.cut()
    return True


def terminated(vault: Vault, name: str) -> bool:
    with receiving(vault, name, 2 * MB):
        vault.guest.run(f"pkill -TERM -f '{RECEIVER}'")
    return True


def geli_while_it_reads(vault: Vault, _name: str) -> bool:
    hold = vault.dial.open("receive", "hold", vault.port)
    wanted(vault)
    deliver = vault.dial.open("deliver", "", vault.port)
    deliver.send(vault.key[:40])
    kill(vault.guest, "geli attach")
    with contextlib.suppress(DialError):
        assert deliver.finish(60).status != 0
    assert hold.finish(60).status != 0
    deliver.cut()
    return False


def geli_when_it_has_attached(vault: Vault, _name: str) -> bool:
    """The provider is there, and nobody detaches it at its last close."""
    vault.guest.run(": > /run/zg/geli-lingers")
    try:
        hold = vault.dial.open("receive", "hold", vault.port)
        wanted(vault)
        deliver = vault.dial.open("deliver", "", vault.port)
        deliver.send(vault.key)
        deliver.end()
        vault.guest.wait_for("[ -e /dev/da0.eli ]", 30)
        kill(vault.guest, "geli attach")
        for channel in (deliver, hold):
            with contextlib.suppress(DialError):
                assert channel.finish(60).status != 0
            channel.cut()
    finally:
        vault.guest.run("rm -f /run/zg/geli-lingers")
    return False


def half_a_key(vault: Vault, _name: str) -> bool:
    hold = vault.dial.open("receive", "hold", vault.port)
    wanted(vault)
    deliver = vault.dial.open("deliver", "", vault.port)
    deliver.send(vault.key[:40])
    vault.guest.wait_for("pgrep -f 'geli attach'", 20)
    deliver.cut()
    assert hold.finish(60).status != 0
    return False


# --- the line, the disk, the key -----------------------------------------------------------------


def line_while_receiving(vault: Vault, name: str) -> bool:
    with receiving(vault, name, 2 * MB) as channel, unplugged(vault.guest):
        vault.guest.wait_for("[ ! -e /dev/da0.eli ]", 60)
        channel.cut()
    return True


def line_while_holding(vault: Vault, _name: str) -> bool:
    with held(vault) as channel, unplugged(vault.guest):
        vault.guest.wait_for("[ ! -e /dev/da0.eli ]", 60)
        channel.cut()
    return False


def full_disk(vault: Vault, name: str) -> None:
    """The quota of `full` is far below the stream's size."""
    with asked(vault, f"receive full/{name}") as channel:
        with contextlib.suppress(DialError):
            channel.send(vault.stream)
        reply = channel.finish(90)
        assert reply.status not in (0, 75), reply
        assert "quota" in reply.err or "space" in reply.err, reply.err


def wrong_key(vault: Vault, _name: str) -> bool:
    with asked(vault, "hold", b"0" * 128 + b"\n") as channel:
        reply = channel.finish(60)
        assert reply.status == 74, reply
        assert "key" in reply.err, reply
    return False


def no_key(vault: Vault, _name: str) -> bool:
    vault.configure(wait=2)
    try:
        reply = vault.dial.run("receive", "hold", vault.port)
        assert reply.status == 70, reply
    finally:
        vault.configure()
    return False


def everything_at_once(vault: Vault, name: str) -> bool:
    """The line is out, and in the guest the script and sshd are killed in the same moment."""
    with receiving(vault, name, 2 * MB) as channel, unplugged(vault.guest):
        killers = [
            threading.Thread(target=channel.cut),
            threading.Thread(
                target=vault.guest.run,
                args=(f"pkill -KILL -f '^sshd: root@notty|sh [^ ]*{RECEIVER}'",),
            ),
        ]
        for killer in killers:
            killer.start()
        for killer in killers:
            killer.join()
    return True


CUTS: dict[str, Cut] = {
    "client-before-the-key": client_before_the_key,
    "client-after-0": client_after(0),
    "client-after-200k": client_after(200_000),
    "client-after-5M": client_after(5 * MB),
    "client-while-holding": client_while_holding,
    "client-of-the-hold-while-receiving": client_of_the_hold_while_receiving,
    "stream-ends-early": stream_ends_early,
    "no-stream-at-all": no_stream_at_all,
    "noise-for-a-stream": noise_for_a_stream,
    "sshd-while-receiving": killed("^sshd: root@notty"),
    "sshd-of-a-hold": sshd_of_a_hold,
    "script-while-receiving": killed(f"sh [^ ]*{RECEIVER}", "-o"),
    "worker-while-receiving": killed(f"sh [^ ]*{RECEIVER}", "-n"),
    "script-of-a-hold-while-receiving": script_of_a_hold_while_receiving,
    "script-terminated": terminated,
    "zfs-receive": killed("^[^ ]*zfs receive"),
    "geli-while-it-reads": geli_while_it_reads,
    "geli-when-it-has-attached": geli_when_it_has_attached,
    "half-a-key": half_a_key,
    "line-while-receiving": line_while_receiving,
    "line-while-holding": line_while_holding,
    "full-disk": full_disk,
    "wrong-key": wrong_key,
    "no-key": no_key,
    "everything-at-once": everything_at_once,
}
ASH = (
    "client-after-5M",
    "client-of-the-hold-while-receiving",
    "script-while-receiving",
    "zfs-receive",
    "wrong-key",
)
"""The ones that are done again with busybox's ash for the script's sh."""
