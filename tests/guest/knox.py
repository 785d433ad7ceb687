"""The guest `knox`: an installed box with a USB disk, reached by ssh from this machine.

Here it is set up without the flow: by the commands of `zrwizard.freebsd` and the operator's side.
So the receiver and the keys are tested alone; the flow is tested on another boot of the guest.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from zrwizard import receiver
from zrwizard.freebsd import geli, sshd
from zrwizard.keyring.dial import SshDial
from zrwizard.keyring.operator import Cost, OperatorSide
from zrwizard.keyring.store import Keyring
from zrwizard.plan import Local
from zrwizard.secrets import Secret, Secrets

from .machines import Guest, Image, Machine, free_port

NAME = "knox"
POOL = "vault"
SERIAL = "WDKNOX0001"
DISK_BYTES = 640 << 20
SYSTEM_BYTES = 128 << 20
SOURCE_BYTES = 192 << 20
PASSPHRASE = "guest ca passphrase"
ESCROW_PASSPHRASE = "guest escrow passphrase"
RUN = "/var/run/zrwizard"
QUICK = Cost(rounds=1, work=4, iterations=1000)


class Monitor:
    """QEMU's own monitor (QMP), for what happens to the machine from outside."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rw")
        self._file.readline()
        self("qmp_capabilities")

    def __call__(self, command: str, **arguments: object) -> object:
        """Execute a command and return its answer."""
        self._file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._file.flush()
        while True:
            answer = json.loads(self._file.readline())
            if "error" in answer:
                raise AssertionError(answer["error"])
            if "return" in answer:
                return answer["return"]

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@contextlib.contextmanager
def monitor(guest: Guest) -> Iterator[Monitor]:
    """The monitor of a guest, for the length of a with block."""
    opened = Monitor(guest.qmp_path)
    try:
        yield opened
    finally:
        opened.close()


@contextlib.contextmanager
def unplugged(guest: Guest) -> Iterator[None]:
    """The guest's network cable is out."""
    with monitor(guest) as command:
        command("set_link", name="nic0", up=False)
        try:
            yield
        finally:
            command("set_link", name="nic0", up=True)


@dataclass
class Ports:
    """Ports on 127.0.0.1: of the box's first sshd, and two that are the same on both sides."""

    first: int = field(default_factory=free_port)
    trial: int = field(default_factory=free_port)
    final: int = field(default_factory=free_port)


@dataclass
class Knox:
    """The running guest and where it is reached."""

    guest: Guest
    image: Image
    directory: Path
    ports: Ports

    @property
    def disk(self) -> Path:
        return self.directory / "usb.img"

    def images(self) -> tuple[Path, ...]:
        """Every disk that the machine has, as raw files."""
        return tuple(sorted(self.directory.glob("*.img")))

    def root(self, command: str, stdin: bytes = b"", timeout: float = 120) -> bytes:
        """What a command wrote that root ran by the first sshd; it must succeed."""
        done = subprocess.run(
            [
                *("ssh", "-F", "none", "-i", str(self.image.key), "-p", str(self.ports.first)),
                *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
                *("-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"),
                *("-o", "KexAlgorithms=curve25519-sha256", "root@127.0.0.1", command),
            ],
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, (command, done.returncode, done.stderr[-400:])
        return done.stdout


@contextlib.contextmanager
def running(image: Image, directory: Path, options: dict[str, str] | None = None) -> Iterator[Knox]:
    """The box with blank disks, for the length of a with block; about 20 s."""
    ports = Ports()
    forwards = ((ports.first, 22), (ports.trial, ports.trial), (ports.final, ports.final))
    machine = Machine(
        "knox",
        wire_end=0,
        options={"host": NAME, "role": "knox"} | (options or {}),
        disks=(
            (directory / "system.img", SYSTEM_BYTES, "SYSDISK01"),
            (directory / "source.img", SOURCE_BYTES, "SOURCE01"),
        ),
        usb=((directory / "usb.img", DISK_BYTES, SERIAL),),
        cpus=2,
        forwards=forwards,
    )
    guest = Guest(image, machine, None, directory)
    try:
        guest.wait_ready()
        yield Knox(guest, image, directory, ports)
    finally:
        guest.stop()


# --- a vault made by hand ------------------------------------------------------------------------


@dataclass
class Vault:
    """A box with an encrypted pool, its receiver, and an sshd that admits our certificates."""

    box: Knox
    keyring: Keyring
    secrets: Secrets
    dial: SshDial
    stream: bytes
    shell: str = "dash"

    @property
    def guest(self) -> Guest:
        return self.box.guest

    @property
    def port(self) -> int:
        return self.box.ports.final

    @property
    def key(self) -> bytes:
        return self.keyring.read("geli.key")

    def interpreter(self, shell: str) -> None:
        """Let `shell` (dash or ash) run the receiver from now on.

        Debian's ash takes busybox's own commands before any in PATH: its ps does not know `-p`,
        its tr no classes.
        """
        ash = '#!/bin/busybox ash\nps() { /usr/local/sbin/ps "$@"; }\ntr() { /usr/bin/tr "$@"; }'
        first = {"dash": "#!/bin/sh", "ash": ash}[shell]
        install(self.guest, receiver.PATH, receiver.SCRIPT.replace("#!/bin/sh", first, 1), "755")
        self.shell = shell

    def configure(self, **changes: object) -> None:
        """Install the receiver's config, with short patience."""
        terms: dict[str, object] = {"shape": "vault", "serial": SERIAL, "size": DISK_BYTES}
        terms |= {"pool": POOL, "wait": 20, "attach": 20} | changes
        install(self.guest, receiver.config_path(NAME), receiver.config(**terms), "600")

    def deliver(self, key: bytes | None = None) -> int:
        """Deliver the key by the key that may; the exit status."""
        return self.dial.run(
            "deliver", "", self.port, stdin=self.key if key is None else key
        ).status


def install(guest: Guest, path: str, text: str, mode: str) -> None:
    guest.run(f"mkdir -p '{os.path.dirname(path)}'")
    guest.put(path, text.encode(), mode)


def make_keys(box: Knox, shape: str = "vault") -> tuple[Keyring, Secrets]:
    """A keyring with certificates for the box, made by the operator's side."""
    secrets = Secrets()
    secrets.add(Secret("ca-passphrase", PASSPHRASE.encode()))
    root = box.directory / "keys"
    side = OperatorSide(root, secrets, lambda keyring: SshDial(keyring, secrets), cost=QUICK)

    def act(name: str, *detail: str) -> None:
        side.do(Local(name, (NAME, *detail), ""), print)

    act("keys", shape, SERIAL, str(DISK_BYTES))
    keyring = Keyring.open(root, NAME)
    keyring.write("host.pub", box.guest.out("cat /etc/ssh/ssh_host_ed25519_key.pub").encode())
    act("certify", "127.0.0.1", str(box.ports.final), "root", POOL, "30", "30", "30")
    return keyring.reload(), secrets


def start_sshd(box: Knox, keyring: Keyring, alive: int = 1) -> None:
    """Start the sshd that the product configures; a dead line is noticed after 2 * `alive` s."""
    guest, where = box.guest, sshd.paths(NAME)
    version = sshd.parse_version(guest.out("ssh -V 2>&1"))
    install(guest, where.ca, keyring.text("ca.pub"), "644")
    install(guest, where.certificate, keyring.text("host-cert.pub"), "644")
    revoke(guest, keyring)
    text = sshd.config(version, port=box.ports.final, name=NAME)
    install(guest, where.config, text, "600")
    guest.run(sshd.check(where.config))
    options = f"-o ClientAliveInterval={alive} -o ClientAliveCountMax=2"
    # The post-quantum exchange that comes first takes seconds under emulation.
    options += " -o KexAlgorithms=curve25519-sha256"
    guest.run(f"{sshd.start(where.config, pid_file=where.pid)} {options}")


def revoke(guest: Guest, keyring: Keyring) -> None:
    """Install the list of revoked certificates, as the keyring has it."""
    spec = keyring.text("revoked.spec")
    install(guest, "/tmp/revoked.spec", spec, "644")
    guest.run(sshd.krl(NAME, "/tmp/revoked.spec"))


def make_stream(box: Knox, megabytes: int = 9) -> bytes:
    """A real replication stream of noise, from a pool of its own on another disk."""
    box.guest.run(
        "zpool create -f -O mountpoint=/source source vtbd1 && zfs create source/data && "
        f"dd if=/dev/urandom of=/source/data/noise bs=1m count={megabytes} 2> /dev/null && "
        "zfs snapshot -r source/data@one",
        timeout=120,
    )
    return box.root("zfs send -p source/data@one")


def make_vault(box: Knox) -> Vault:
    """Encrypt the USB disk, make the pool, install the receiver, open the door."""
    keyring, secrets = make_keys(box)
    key = keyring.read("geli.key")
    box.root(geli.init("da0"), key)
    box.root(geli.attach("da0"), key)
    box.guest.run(
        f"zpool create -O atime=off -O compression=lz4 -m none {POOL} da0.eli && "
        f"zfs create -o quota=4m {POOL}/full && "
        f"zpool export {POOL} && {geli.detach('da0')}"
    )
    vault = Vault(box, keyring, secrets, SshDial(keyring, secrets), make_stream(box))
    vault.configure()
    vault.interpreter("dash")
    start_sshd(box, keyring)
    return vault


# --- how things are afterwards -------------------------------------------------------------------

CLEAN = f"""
set -f
why() {{ echo "$*"; exit 1; }}
[ ! -e /dev/da0.eli ] || why 'there is a da0.eli'
[ -z "$(geli status -s)" ] || why 'geli: something is attached'
! grep -q eli /sys/block/dm-*/dm/name 2> /dev/null || why 'dm-crypt has a device'
! /sbin/zpool list -H -o name 2> /dev/null | grep -qx {POOL} || why 'the pool is imported'
[ -z "$(ls {RUN} 2> /dev/null | grep '+')" ] || why "marks: $(ls {RUN})"
"""


def settled(guest: Guest, seconds: float = 90) -> float:
    """Wait until nothing of the vault is open; the seconds that it took. AssertionError."""
    began = time.monotonic()
    install(guest, "/run/zg/clean", CLEAN, "755")
    ticks = int(seconds * 2)
    done = guest.run(
        f"i=0; until why=$(set +f; sh /run/zg/clean); do i=$((i + 1)); "
        f'[ $i -lt {ticks} ] || {{ echo "$why"; ps -axww -o pid,ppid,args; exit 1; }}; '
        "sleep 0.5; done",
        timeout=seconds * 3,
        check=False,
    )
    assert done.status == 0, f"not closed within {seconds:.0f} s: {done.out}"
    return time.monotonic() - began


def kill(guest: Guest, pattern: str, which: str = "", seconds: float = 15) -> int:
    """SIGKILL for each process whose command line fits `pattern`, as soon as there is one.

    `which` is -o or -n for the oldest or the newest of them alone.
    """
    done = guest.run(
        f"i=0; until set -- $(pgrep {which} -f -- '{pattern}') && [ $# -gt 0 ]; do i=$((i + 1)); "
        f"[ $i -lt {int(seconds * 5)} ] || exit 1; sleep 0.2; done; kill -9 $*; echo $#",
        timeout=seconds * 3,
        check=False,
    )
    assert done.status == 0, f"no process fits {pattern!r}\n" + guest.out("ps -axww -o pid,args")
    return int(done.out)
