"""Starts and drives the test guests: QEMU without KVM, one telnet console each, one wire.

A guest's console belongs to the product under test. Set-up and verification go by another way,
a virtio port on which the guest's `zg-agent` runs whole commands, so that they neither need nor
disturb the console.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import functools
import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build.sh"
BUILD_SECONDS = 45 * 60
BOOT_SECONDS = 240
KERNEL_ARGUMENTS = (
    "console=ttyS0,115200 quiet panic=-1 printk.time=0 cryptomgr.notests mitigations=off nokaslr "
    "audit=0 apparmor=0 no_timer_check "
    # A program that comes to lie where it lay before has been translated already.
    "norandmaps"
)
PR_SET_PDEATHSIG = 1


class GuestError(Exception):
    """A guest did not start, went away, or a command in it failed."""


class Unavailable(Exception):
    """This machine cannot build or run the guests; the text says why."""


@dataclass(frozen=True, slots=True)
class Image:
    """What `build.sh` leaves: kernel, initrd and the client keys that the guests accept."""

    directory: Path

    @property
    def kernel(self) -> Path:
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.directory / "initrd"

    @property
    def key(self) -> Path:
        """Private key without a passphrase, authorised on hostB."""
        return self.directory / "id_ed25519"

    @property
    def locked_key(self) -> Path:
        """Private key with the passphrase `zguest key`, authorised on hostB."""
        return self.directory / "id_locked"

    @property
    def host_key(self) -> Path:
        """Public host key of hostB."""
        return self.directory / "host_ed25519.pub"


@dataclass(frozen=True, slots=True)
class Result:
    """A command that has ended: its exit status (124 after a timeout) and what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        return self.stdout.decode("utf-8", "replace")

    @property
    def err(self) -> str:
        return self.stderr.decode("utf-8", "replace")


def cache_directory() -> Path:
    """Where the image is kept, outside the clone (as `build.sh` has it)."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zrwizard"
    return Path(os.environ.get("ZRWIZARD_CACHE") or default) / "guest"


def build_image() -> Image:
    """Build the image, or find it current. Raises Unavailable with the reason.

    A build installs packages and compiles for minutes: it is begun only where QEMU is there already
    and root asks, or where ZRWIZARD_REQUIRE_GUEST=1 says that the guests must run.
    """
    if os.environ.get("ZRWIZARD_REQUIRE_GUEST") != "1":
        if os.geteuid() != 0:
            raise Unavailable("they are built and run by root only")
        if shutil.which("qemu-system-x86_64") is None:
            raise Unavailable("qemu-system-x86_64 is not installed")
    try:
        done = subprocess.run(
            [str(BUILD)], check=False, capture_output=True, text=True, timeout=BUILD_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"tests/guest/build.sh did not end: {error}") from error
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise Unavailable(" ".join(reason) or f"build.sh ended with {done.returncode}")
    if shutil.which("qemu-system-x86_64") is None:
        raise Unavailable("qemu-system-x86_64 is not installed (Debian package qemu-system-x86).")
    return Image(cache_directory())


class Wire:
    """The Ethernet segment between two guests: a datagram socket pair that this process keeps
    open, so that either guest may be restarted and no port is needed."""

    def __init__(self) -> None:
        self.ends: tuple[socket.socket, socket.socket] = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_DGRAM
        )
        for end in self.ends:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)

    def close(self) -> None:
        for end in self.ends:
            end.close()


@dataclass(frozen=True, slots=True)
class Machine:
    """How a guest is made. `options` become zg.* on the kernel command line (see overlay/init);
    `disks` are (path, bytes, serial number) of raw images, made sparse where they are missing;
    `usb` the same, as SCSI disks (da0, da1). With `forwards`, (port here on 127.0.0.1, its port),
    the machine is not on the wire but behind QEMU's own network. Its console is at `port`, at any
    if that is 0."""

    name: str
    wire_end: int
    options: dict[str, str] = field(default_factory=dict)
    disks: tuple[tuple[Path, int, str], ...] = ()
    memory_mb: int = 1024
    reboots: bool = False
    usb: tuple[tuple[Path, int, str], ...] = ()
    forwards: tuple[tuple[int, int], ...] | None = None
    cpus: int = 1
    port: int = 0


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _die_with_parent() -> None:
    """In the child: no QEMU outlives a killed test run."""
    _libc().prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Guest:
    """A running guest. `console_url` is free for the product: nothing here ever connects to it."""

    def __init__(self, image: Image, machine: Machine, wire: Wire | None, directory: Path) -> None:
        self.machine = machine
        self.port = machine.port or free_port()
        self._socket_path = directory / f"{machine.name}.{time.monotonic_ns()}.agent"
        self._log_path = directory / f"{machine.name}.qemu.log"
        self._ids = itertools.count(1)
        self._agent: socket.socket | None = None
        self._unread = b""
        self.started = time.monotonic()
        for path, size, _ in machine.disks + machine.usb:
            if not path.exists():
                with path.open("wb") as disk:
                    disk.truncate(size)
        ends = [] if wire is None else [wire.ends[machine.wire_end].fileno()]
        _libc()
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(image, ends),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=ends,
                preexec_fn=_die_with_parent,  # noqa: PLW1509
            )

    @property
    def name(self) -> str:
        return self.machine.name

    @property
    def console_url(self) -> str:
        """The console as the product's `--console` takes it."""
        return f"telnet://127.0.0.1:{self.port}"

    @property
    def qmp_path(self) -> Path:
        """QEMU's own monitor."""
        return self._socket_path.with_suffix(".qmp")

    def _network(self, ends: Sequence[int]) -> Iterator[str]:
        machine = self.machine
        mac = f"52:54:00:99:00:{machine.wire_end + 2:02x}"
        if machine.forwards is None:
            yield from ("-netdev", f"socket,id=n0,fd={ends[0]}")
        else:
            ports = (f",hostfwd=tcp:127.0.0.1:{a}-:{b}" for a, b in machine.forwards)
            yield from ("-netdev", "user,id=n0,restrict=off" + "".join(ports))
        yield from ("-qmp", f"unix:{self.qmp_path},server=on,wait=off")
        yield from ("-device", f"virtio-net-pci,id=nic0,netdev=n0,romfile=,mac={mac}")

    def _command(self, image: Image, ends: Sequence[int]) -> Sequence[str]:
        machine = self.machine
        options = " ".join(f"zg.{key}={value}" for key, value in machine.options.items())
        # A small translation cache: a large one makes the boot after a reboot three times slower.
        command = ["qemu-system-x86_64", "-accel", "tcg,tb-size=128", "-machine", "pc"]
        command += ["-cpu", "qemu64", "-m", str(machine.memory_mb)]
        command += ["-smp", str(machine.cpus)]
        command += ["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none"]
        command += ["-kernel", str(image.kernel), "-initrd", str(image.initrd)]
        command += ["-append", f"{KERNEL_ARGUMENTS} {options}", "-device", "virtio-rng-pci"]
        command += ["-serial", f"telnet:127.0.0.1:{self.port},server=on,wait=off"]
        command += ["-chardev", f"socket,id=agent,path={self._socket_path},server=on,wait=off"]
        command += ["-device", "virtio-serial-pci"]
        command += ["-device", "virtserialport,chardev=agent,name=zg"]
        command += self._network(ends)
        for number, (path, _, serial) in enumerate(machine.disks):
            command += ["-drive", f"if=none,id=d{number},file={path},format=raw,cache=unsafe"]
            command += ["-device", f"virtio-blk-pci,drive=d{number},serial={serial}"]
        if machine.usb:
            command += ["-device", "virtio-scsi-pci,id=usb"]
        for number, (path, _, serial) in enumerate(machine.usb):
            command += ["-drive", f"if=none,id=u{number},file={path},format=raw,cache=unsafe"]
            named = f"vendor=WD,product=My Passport 0820,ver=1007,serial={serial}"
            command += ["-device", f"scsi-hd,id=usb{number},bus=usb.0,drive=u{number},{named}"]
        return command if machine.reboots else [*command, "-no-reboot"]

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self, timeout: float = BOOT_SECONDS) -> float:
        """Wait until the console has its shell. Returns the seconds since the start."""
        self.wait_for("test -e /run/zg/up", timeout)
        return time.monotonic() - self.started

    def wait_for(self, condition: str, timeout: float) -> None:
        """Wait until sh text succeeds; the guest may (re)boot meanwhile. Raises GuestError."""
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(GuestError):
                if self.run(condition, timeout=5, check=False, grace=2).status == 0:
                    return
            if not self.alive:
                raise GuestError(f"{self.name}: QEMU ended: {self._log_path.read_text()[-500:]}")
            if time.monotonic() > deadline:
                raise GuestError(f"{self.name}: not within {timeout:.0f} s: {condition}")
            time.sleep(0.2)

    def wait_off(self, timeout: float = 60) -> None:
        """Wait until the guest has powered off. Raises GuestError if it does not."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise GuestError(f"{self.name} still runs after {timeout:.0f} s") from error

    def run(
        self, script: str, *, timeout: float = 60, check: bool = True, grace: float = 15
    ) -> Result:
        """Run sh text as root, beside the console, for at most `timeout` seconds. Raises GuestError
        if no answer comes within `grace` seconds more, and with `check` if the status is not 0."""
        number = next(self._ids)
        text = base64.b64encode(script.encode()).decode()
        try:
            answer = self._exchange(f"{number} {timeout:.0f} {text}\n", number, timeout + grace)
        except OSError as error:
            self._hang_up()
            raise GuestError(f"{self.name}: no answer from the agent: {error}") from error
        _, status, out, err = answer.split(" ")
        result = Result(int(status), base64.b64decode(out), base64.b64decode(err))
        if check and result.status:
            said = result.out + result.err
            raise GuestError(f"{self.name}: {script!r} -> {result.status}\n{said}")
        return result

    def out(self, script: str, *, timeout: float = 60) -> str:
        """What a command that must succeed wrote to standard output."""
        return self.run(script, timeout=timeout).out

    def lines(self, script: str, *, timeout: float = 60) -> list[str]:
        return self.out(script, timeout=timeout).splitlines()

    def put(self, path: str, data: bytes, mode: str = "644") -> None:
        """Write a (small) file in the guest."""
        text = base64.b64encode(data).decode()
        self.run(f"umask 077; printf %s '{text}' | base64 -d > '{path}' && chmod {mode} '{path}'")

    def _exchange(self, request: str, number: int, timeout: float) -> str:
        deadline = time.monotonic() + timeout
        if self._agent is None:
            self._agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._unread = b""
            self._agent.connect(str(self._socket_path))
        self._agent.settimeout(timeout)
        self._agent.sendall(request.encode())
        while True:
            line, newline, rest = self._unread.partition(b"\n")
            if newline:
                self._unread = rest
                if line.startswith(b"%d " % number):
                    return line.decode()
                continue  # the late answer to an earlier request
            self._agent.settimeout(max(0.1, deadline - time.monotonic()))
            received = self._agent.recv(1 << 16)
            if not received:
                raise ConnectionResetError("the guest went away")
            self._unread += received

    def _hang_up(self) -> None:
        if self._agent is not None:
            self._agent.close()
            self._agent = None

    def stop(self) -> None:
        """End QEMU. The disks stay."""
        self._hang_up()
        if self.alive:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._socket_path.unlink(missing_ok=True)
        self.qmp_path.unlink(missing_ok=True)


@contextlib.contextmanager
def running(
    image: Image, machine: Machine, wire: Wire | None, directory: Path, *, wait: bool = True
) -> Iterator[Guest]:
    """A guest for the length of a with block."""
    guest = Guest(image, machine, wire, directory)
    try:
        if wait:
            guest.wait_ready()
        yield guest
    finally:
        guest.stop()
