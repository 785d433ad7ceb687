"""The main job on the real thing: `zrwizard restore --headless`, as an operator would run it.

hostC is checked by other means than the product's: beside the console, with Linux' own tools.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import look, search, tree
from .conftest import SECOND_DISK_SERIAL, SERVER_ADDRESS, TARGET_DISK_SERIAL, Pair
from .machines import Guest

pytestmark = pytest.mark.guest

PASSWORD = "zguest"
PASSPHRASE = "Nine red-brown otters"
ENVIRONMENT = tree.BOOT_ENVIRONMENTS[0]
ANSWERS = f"""
[network]
nic = "vtnet0"
mode = "static"
address = "10.99.0.3/24"
[server]
host = "{SERVER_ADDRESS}"
port = 2223
[source]
dataset = "{tree.POOL}"
snapshot = "newest"
boot_environment = "{ENVIRONMENT}"
release = "13"
streams = "STREAMS"
[target]
DISKS
swap = "256m"
mend = "write"
[finish]
action = "FINISH"
"""


@dataclass
class Operator:
    """Somebody at a terminal: runs the command in a directory and a state of their own."""

    directory: Path
    pair: Pair
    finish: str = "stay"
    disks: tuple[str, ...] = (TARGET_DISK_SERIAL,)
    passphrase: str = ""
    streams: str = "measured"

    def power_cycle(self, *, blank: bool = True, left: tuple[str, ...] = ()) -> Guest:
        """The target anew, with the disks of this restore or those that are `left` of them; it
        starts from the first one if that would start."""
        options = {"kmsg": "7", "firmware": "1"}
        return self.pair.reset_target(
            blank=blank, options=options, reboots=True, disks=left or self.disks
        )

    @property
    def text(self) -> str:
        """The answers; several disks are a mirror, and with a passphrase geli lies below."""
        several = f'disks = {json.dumps(self.disks)}\nlayout = "mirror"'
        disks = several if len(self.disks) > 1 else f'disk = "{self.disks[0]}"'
        if self.passphrase:
            disks += '\ngeli = "yes"'
        answers = ANSWERS.replace("FINISH", self.finish).replace("DISKS", disks)
        return answers.replace("STREAMS", self.streams)

    def secret(self, name: str, text: str) -> tuple[str, str]:
        """The arguments that give a secret, which lies in a file of its own."""
        file = self.directory / f"secret-{name}"
        file.write_text(text + "\n")
        file.chmod(0o600)
        return ("--secret", f"{name}=file:{file}")

    def command(self, *more: str) -> list[str]:
        answers = self.directory / "answers.toml"
        if not answers.exists():
            answers.write_text(self.text)
        sealed = self.secret("disk-passphrase", self.passphrase) if self.passphrase else ()
        return [
            *(sys.executable, "-m", "zrwizard", "restore", "--headless", "--json"),
            *("--console", self.pair.target.console_url, "--answers", str(answers)),
            *(*self.secret("server", PASSWORD), *sealed, *more),
        ]

    def start(self, *more: str) -> subprocess.Popen[str]:
        env = {**os.environ, "XDG_STATE_HOME": str(self.directory / "state")}
        return subprocess.Popen(
            self.command(*more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )

    def run(self, *more: str, timeout: float = 600) -> tuple[int, list[dict[str, object]]]:
        process = self.start(*more)
        out, err = process.communicate(timeout=timeout)
        assert "Traceback" not in out + err, err
        return process.returncode, [json.loads(line) for line in out.splitlines()]

    @property
    def sure(self) -> tuple[str, ...]:
        key = self.pair.image.host_key.read_text().split()[1]
        typed = (word for serial in self.disks for word in ("--confirm-erase", serial))
        return (*typed, "--host-key", fingerprint(key))


def fingerprint(blob: str) -> str:
    import base64

    digest = hashlib.sha256(base64.b64decode(blob)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


@pytest.fixture
def operator(guests: Pair, tmp_path: Path) -> Operator:
    found = Operator(tmp_path, guests)
    found.power_cycle()
    return found


@pytest.fixture
def mirrored(guests: Pair, tmp_path: Path) -> Operator:
    """One whose target has two blank disks, for a mirror, and who has two streams side by side."""
    disks = (TARGET_DISK_SERIAL, SECOND_DISK_SERIAL)
    found = Operator(tmp_path, guests, disks=disks, streams="2")
    found.power_cycle()
    return found


@pytest.fixture
def encrypted(guests: Pair, tmp_path: Path) -> Operator:
    """One who has the disk encrypted, and sees it start."""
    found = Operator(tmp_path, guests, finish="reboot", passphrase=PASSPHRASE)
    found.power_cycle()
    return found


def guests_agree(server: Guest, target: Guest) -> None:
    """The restored tree is the source's, and the disk starts it."""
    target.run("zpool import -f -N -R /mnt zroot 2>/dev/null || zpool list zroot")
    sent = {
        name: guid
        for name, guid in look.snapshots(server, tree.POOL).items()
        if not name.endswith("@" + tree.INCOMPLETE)
    }
    assert look.snapshots(target, "zroot") == sent
    assert look.datasets(target, "zroot") == look.datasets(server, tree.POOL)
    assert look.origins(target, "zroot") == look.origins(server, tree.POOL)
    assert look.contents(target, "zroot", tree.SNAPSHOT) == look.contents(
        server, tree.POOL, tree.SNAPSHOT
    )
    settings_agree(server, target)


def settings_agree(server: Guest, target: Guest) -> None:
    """Every property that was set at the source has its value, but for what makes it start."""
    there, here = look.settings(server, tree.POOL), look.settings(target, "zroot")
    ours = {(ENVIRONMENT, "mountpoint"), ("", "compression"), ("", "atime")}
    ours |= {(name, "canmount") for name in tree.BOOT_ENVIRONMENTS}
    for (name, key), (value, _) in there.items():
        if key in {"xattr", "snapshots_changed"}:
            continue
        got = here.get((name, key), ("(not set)", ""))[0]
        if key == "mountpoint" and got.startswith("/mnt"):
            got = got.removeprefix("/mnt") or "/"
        if (name, key) in ours:
            continue
        assert got == value, f"{name} {key}"
    assert here["", "compression"][0] == "lz4"


def test_a_host_is_restored_from_blank_disk_to_bootable(operator: Operator) -> None:
    pair = operator.pair
    operator.finish = "reboot"
    began = time.monotonic()
    status, events = operator.run(*operator.sure)
    seconds = time.monotonic() - began
    assert status == 0, json.dumps(events[-3:], indent=1)
    assert events[-1]["event"] == "RunFinished"
    print(f"restored, and booted to login:, in {seconds:.0f} s")
    assert pair.target.run("test -e /run/zg/installed", check=False).status == 0, "not its disk"
    guests_agree(pair.server, pair.target)
    target = pair.target
    assert target.out("zpool get -H -o value bootfs zroot").strip() == f"zroot/{ENVIRONMENT}"
    assert target.out("zpool get -H -o value comment zroot").strip() in {"", "-"}
    disk_is_made(target)
    settings_are_mended(target)
    all_is_proven(operator, events)
    progress = [e for e in events if e["event"] == "Progress"]
    assert progress, "no progress was shown"
    for event in progress:
        fraction = event["fraction"]
        assert fraction is None or 0 <= float(str(fraction)) <= 1
        assert float(str(event["rate"])) >= 0
    assert max(int(str(e["received"])) for e in progress) > 10_000_000
    no_secret(operator.directory, events)


def disk_is_made(target: Guest, number: int = 0) -> None:
    """The table of a disk is as planned, and its boot code is the restored system's."""
    disk = f"vd{'ab'[number]}"
    table = look.partitions(target, disk)
    assert [(p.index, p.type, p.label) for p in table] == [
        (1, "freebsd-boot", f"gptboot{number}"),
        (2, "efi", f"efiboot{number}"),
        (3, "freebsd-swap", f"swap{number}"),
        (4, "freebsd-zfs", f"zfs{number}"),
    ]
    assert table[2].size == 256 * 2048
    sizes, digests = look.snapshot_boot_files(target, f"zroot/{ENVIRONMENT}@{tree.SNAPSHOT}")
    found = look.boot_digests(target, sizes, disk)
    assert found == digests, f"boot code of {disk} is not the restored system's"


def settings_are_mended(target: Guest) -> None:
    """Swap and network card have the new machine's names, and the old files are kept."""
    target.run(f"zfs mount -o ro zroot/{ENVIRONMENT}")
    swap, *rest = target.out("cat /mnt/etc/fstab").splitlines()
    assert swap == "/dev/gpt/swap0.eli none swap sw 0 0"
    assert rest == ["/dev/gpt/efiboot0 /boot/efi msdosfs rw 2 2"]
    assert 'ifconfig_vtnet0="DHCP"' in target.out("cat /mnt/etc/rc.conf").splitlines()
    assert "em0" in target.out("cat /mnt/etc/rc.conf.zr-*")
    assert "ada0p3" in target.out("cat /mnt/etc/fstab.zr-*")
    target.run(f"zfs unmount zroot/{ENVIRONMENT}")


def all_is_proven(
    operator: Operator,
    events: list[dict[str, object]],
    names: str = "next snapshots table boot features bootfs system mounts health properties",
) -> None:
    """Each check was made on the real pool, and the report has its words."""
    said = {
        str(e["step"]): str(e["output"])
        for e in events
        if e["event"] == "Answered" and e["role"] == "act" and str(e["step"]).startswith("prove-")
    }
    assert list(said) == [f"prove-{name}" for name in names.split()]
    count = len(look.datasets(operator.pair.target, "zroot"))
    assert (
        said["prove-next"] == f"From the newest snapshot of each of {count} datasets a backup "
        "can go on."
    )
    lists = [line for line in said["prove-features"].splitlines() if line.startswith("No list")]
    assert [line.rpartition("/")[2] for line in lists] == ["gptzfsboot.", "loader.efi."]
    (report,) = operator.directory.rglob("report.md")
    assert said["prove-next"] in report.read_text()


def no_secret(directory: Path, events: list[dict[str, object]]) -> None:
    assert PASSWORD not in json.dumps(events).replace("zguest-", "")
    for path in (directory / "state").rglob("*"):
        if path.is_file():
            text = path.read_text(errors="replace")
            assert not re.search(rf"\b{PASSWORD}\b", text), path


def test_a_mirror_starts_without_its_first_disk(mirrored: Operator) -> None:
    """Two blank disks become one pool. With one of them taken away the machine starts, and lacks
    nothing: that is what a mirror is for."""
    pair = mirrored.pair
    status, events = mirrored.run(*mirrored.sure)
    assert status == 0, json.dumps(events[-3:], indent=1)
    target = pair.target
    (said,) = [
        str(event["output"])
        for event in events
        if event["event"] == "Answered" and event["step"] == "transfer" and event["role"] == "act"
    ]
    assert "Lane 1: Dataset 1 of " in said
    assert "Lane 2: Dataset 1 of " in said
    offered = target.out("zpool import")
    assert re.search(r"mirror-0 +ONLINE\s+zfs0 +ONLINE\s+zfs1 +ONLINE\s*$", offered), offered
    guests_agree(pair.server, target)
    assert look.vdevs(target, "zroot") == mirror("ONLINE", "ONLINE")
    # Every block is read from both disks.
    target.run("zpool scrub -w zroot")
    assert "repaired 0B in" in target.out("zpool status zroot")
    for number in (0, 1):
        disk_is_made(target, number)
    all_is_proven(
        mirrored,
        events,
        "next snapshots table boot-vtbd0 boot-vtbd1 features bootfs system mounts health vdevs "
        "properties",
    )
    no_secret(mirrored.directory, events)
    target = mirrored.power_cycle(blank=False, left=mirrored.disks[1:])
    assert target.run("test -e /run/zg/installed", check=False).status == 0, "it does not start"
    guests_agree(pair.server, target)
    assert look.vdevs(target, "zroot") == mirror("DEGRADED", "UNAVAIL")


def mirror(state: str, first: str) -> list[tuple[str, str]]:
    """The rows of the status of a mirror that is in that state, as is its first disk."""
    disks = [("/dev/gpt/zfs0", first), ("/dev/gpt/zfs1", "ONLINE")]
    return [("zroot", state), ("mirror-0", state), *disks]


def test_an_encrypted_disk_is_opened_by_its_passphrase_at_the_start(encrypted: Operator) -> None:
    """The pool lies on geli. Nothing of it is on the disk in clear, and the passphrase nowhere."""
    pair = encrypted.pair
    with search.Sampler() as here, search.GuestSampler(pair.target) as there:
        status, events = encrypted.run(*encrypted.sure)
    assert status == 0, json.dumps(events[-3:], indent=1)
    target = pair.target
    assert target.run("test -e /run/zg/installed", check=False).status == 0, "not its disk"
    assert target.out("geli status -s").split() == ["gpt/zfs0.eli", "ACTIVE", "gpt/zfs0"]
    guests_agree(pair.server, target)
    assert look.vdevs(target, "zroot") == [("zroot", "ONLINE"), ("/dev/gpt/zfs0.eli", "ONLINE")]
    disk_is_made(target)
    settings_are_mended(target)
    (loads,) = loader_lines(target, "geom_eli_load")
    assert loads == 'geom_eli_load="YES"'
    all_is_proven(
        encrypted,
        events,
        "next snapshots table boot geli features bootfs system mounts health properties",
    )
    lock_is_the_one_that_was_saved(encrypted)
    nothing_is_in_clear(pair)
    passphrase_is_nowhere(encrypted, events, here, there)


def loader_lines(target: Guest, name: str) -> list[str]:
    """The lines of the restored loader.conf that set `name`."""
    target.run(f"zfs mount -o ro zroot/{ENVIRONMENT}")
    try:
        return target.lines(f"grep {name} /mnt/boot/loader.conf")
    finally:
        target.run(f"zfs unmount zroot/{ENVIRONMENT}")


def lock_is_the_one_that_was_saved(operator: Operator) -> None:
    """The disk asks at the start, only the passphrase opens it, and its metadata were brought."""
    target = operator.pair.target
    shown = target.out("geli dump gpt/zfs0")
    flags = re.search(r"flags: (0x[0-9a-f]+)", shown)
    assert flags, shown
    assert int(flags[1], 16) & 0x82 == 0x82, "BOOT and GELIBOOT"
    for word, opens in ((operator.passphrase, True), (operator.passphrase[:-1], False)):
        tried = target.run(f"echo '{word}' | geli attach -C -j - gpt/zfs0", check=False)
        assert (tried.status == 0) is opens, tried
    (copy,) = operator.directory.rglob("vtbd0.eli")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.read_bytes() == target.run("tail -c 512 /dev/vda4").stdout


def nothing_is_in_clear(pair: Pair) -> None:
    """What lies in clear on the server's disk, and on the EFI partition, is not in the pool's."""
    pair.target.run("sync")
    before, after = (guest.machine.disks[0][0] for guest in (pair.server, pair.target))
    snapshot = f"zroot/{ENVIRONMENT}@{tree.SNAPSHOT}"
    kernel = look.beginning(pair.target, snapshot, "boot/kernel/kernel")
    loader = look.beginning(pair.target, snapshot, "boot/loader.efi")
    for part in (kernel, b"features_for_read"):
        assert search.holds(before, [part]), "the search finds nothing"
        assert not search.holds(after, [part]), part
    assert search.holds(after, [loader]), "the search finds nothing"


def passphrase_is_nowhere(
    operator: Operator,
    events: list[dict[str, object]],
    here: search.Sampler,
    there: search.Sampler,
) -> None:
    """Neither in what was written, here or on a disk, nor in what a process showed."""
    needle = operator.passphrase.encode()
    no_secret(operator.directory, events)
    assert operator.passphrase not in json.dumps(events)
    (given,) = operator.directory.rglob("secret-disk-passphrase")
    assert search.holds(given, [needle]), "the search finds nothing"
    machines = (operator.pair.server.machine, operator.pair.target.machine)
    written = [path for path in operator.directory.rglob("*") if path.is_file()]
    for path in (*written, *(disk[0] for machine in machines for disk in machine.disks)):
        assert path == given or not search.holds(path, [needle]), path
    for sampler, sight in ((here, b"zrwizard\0restore"), (there, b"geli attach")):
        assert any(sight in text for text in sampler.seen), "nobody looked"
        assert not [text for text in sampler.seen if needle in text]


def test_a_wizard_that_was_killed_is_simply_started_again(operator: Operator) -> None:
    """kill -9 in the middle of the transfer; the job goes on, and the next start finds it."""
    process = operator.start(*operator.sure)
    assert process.stdout
    seen = []
    for line in process.stdout:
        seen.append(json.loads(line))
        if seen[-1]["event"] == "Progress":
            break
    assert seen[-1]["event"] == "Progress", ("the first run did not come so far", seen[-6:])
    process.send_signal(signal.SIGKILL)
    process.wait()
    status, events = operator.run(*operator.sure)
    assert status == 0, json.dumps(events[-3:], indent=1)
    started = [e for e in events if e["event"] == "RunStarted"]
    assert any(e["resumed"] for e in started)
    done = {e["step"]: e["skipped"] for e in events if e["event"] == "StepDone"}
    assert any(skipped for skipped in done.values())
    created = [
        e
        for e in events
        if e["event"] == "Typed" and "zpool create" in str(e["text"]) and e["role"] == "act"
    ]
    assert not created, "the pool was made a second time"
    guests_agree(operator.pair.server, operator.pair.target)
    no_secret(operator.directory, events)


def test_a_target_that_lost_its_power_goes_on_where_it_was(operator: Operator) -> None:
    """Wizard and target are gone in the middle; what the disk has got is not sent again."""
    process = operator.start(*operator.sure)
    assert process.stdout
    reached = 0
    for line in process.stdout:
        event = json.loads(line)
        reached = event["finished"] if event["event"] == "Progress" else reached
        if reached >= 4:
            break
    assert reached >= 4, "the first run did not come so far"
    process.send_signal(signal.SIGKILL)
    process.wait()
    operator.power_cycle(blank=False)
    status, events = operator.run(*operator.sure)
    assert status == 0, json.dumps(events[-3:], indent=1)
    acts = [str(e["text"]) for e in events if e["event"] == "Typed" and e["role"] == "act"]
    assert not [text for text in acts if "zpool create" in text], "the pool was made a second time"
    logs = [str(e["output"]) for e in events if e["event"] == "Answered"]
    log = next(text for text in logs if "datasets are there" in text)
    begun = [int(n) for n in re.findall(r"Dataset (\d+) of \d+: \S+@\S+ .*to zroot", log)]
    assert begun
    assert min(begun) > reached, "what was finished was sent again"
    guests_agree(operator.pair.server, operator.pair.target)


def test_nothing_is_erased_without_the_right_identity(operator: Operator) -> None:
    before = look.digest(operator.pair.target, "/dev/vda", 1 << 22)
    wrong = ("--confirm-erase", "ZRDISK0002", *operator.sure[2:])
    status, events = operator.run(*wrong)
    assert status == 3, json.dumps(events[-6:], indent=1)
    assert "ZRDISK0002" in str(events[-1]) or "identity" in str(events[-1]).lower()
    status, events = operator.run(*operator.sure[2:])
    assert status == 3, json.dumps(events[-6:], indent=1)
    assert look.digest(operator.pair.target, "/dev/vda", 1 << 22) == before


def test_a_changed_host_key_stops_the_run(operator: Operator) -> None:
    wrong = "SHA256:" + "A" * 43
    status, events = operator.run("--confirm-erase", TARGET_DISK_SERIAL, "--host-key", wrong)
    assert status == 3, json.dumps(events[-6:], indent=1)
    assert "host key" in json.dumps(events[-1]).lower()
    assert operator.pair.target.run("sfdisk -d /dev/vda", check=False).status != 0


def test_a_locked_key_logs_in_and_the_machine_is_switched_off(operator: Operator) -> None:
    operator.finish = "poweroff"
    answers = operator.directory / "answers.toml"
    answers.write_text(operator.text.replace("port = 2223", 'port = 22\nauth = "key"'))
    keys = ("--secret", f"key=file:{operator.pair.image.locked_key}")
    phrase = operator.secret("key-passphrase", "zguest key")
    status, events = operator.run(*operator.sure, *keys, *phrase)
    assert status == 0, json.dumps(events[-3:], indent=1)
    operator.pair.target.wait_off()
    written = [path for path in (operator.directory / "state").rglob("*") if path.is_file()]
    private = operator.pair.image.locked_key.read_text().splitlines()[1:-1]
    for path in written:
        seen = path.read_text(errors="replace")
        assert "zguest key" not in seen, path
        assert not [line for line in private if line[:40] in seen], path
    operator.power_cycle(blank=False)
    guests_agree(operator.pair.server, operator.pair.target)
