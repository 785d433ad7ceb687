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

from . import look, tree
from .conftest import SERVER_ADDRESS, TARGET_DISK_SERIAL, Pair
from .machines import Guest

pytestmark = pytest.mark.guest

PASSWORD = "zguest"
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
[target]
disk = "{TARGET_DISK_SERIAL}"
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

    def command(self, *more: str) -> list[str]:
        answers = self.directory / "answers.toml"
        if not answers.exists():
            answers.write_text(ANSWERS.replace("FINISH", self.finish))
        secret = self.directory / "password"
        secret.write_text(PASSWORD + "\n")
        secret.chmod(0o600)
        return [
            *(sys.executable, "-m", "zrwizard", "restore", "--headless", "--json"),
            *("--console", self.pair.target.console_url, "--answers", str(answers)),
            *("--secret", f"server=file:{secret}", *more),
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
        return ("--confirm-erase", TARGET_DISK_SERIAL, "--host-key", fingerprint(key))


def fingerprint(blob: str) -> str:
    import base64

    digest = hashlib.sha256(base64.b64decode(blob)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


@pytest.fixture
def operator(guests: Pair, tmp_path: Path) -> Operator:
    guests.reset_target(options={"kmsg": "7", "firmware": "1"}, reboots=True)
    return Operator(tmp_path, guests)


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
    table = look.partitions(target)
    assert [(p.index, p.type, p.label) for p in table] == [
        (1, "freebsd-boot", "gptboot0"),
        (2, "efi", "efiboot0"),
        (3, "freebsd-swap", "swap0"),
        (4, "freebsd-zfs", "zfs0"),
    ]
    assert table[2].size == 256 * 2048
    sizes, digests = look.snapshot_boot_files(target, f"zroot/{ENVIRONMENT}@{tree.SNAPSHOT}")
    assert look.boot_digests(target, sizes) == digests, "boot code is not the restored system's"
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


def all_is_proven(operator: Operator, events: list[dict[str, object]]) -> None:
    """Each check was made on the real pool, and the report has its words."""
    said = {
        str(e["step"]): str(e["output"])
        for e in events
        if e["event"] == "Answered" and e["role"] == "act" and str(e["step"]).startswith("prove-")
    }
    names = "next snapshots table boot features bootfs system mounts health"
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
    operator.pair.reset_target(blank=False, options={"firmware": "1"}, reboots=True)
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
    text = ANSWERS.replace("FINISH", operator.finish)
    answers.write_text(text.replace("port = 2223", 'port = 22\nauth = "key"'))
    phrase = operator.directory / "phrase"
    phrase.write_text("zguest key\n")
    phrase.chmod(0o600)
    keys = ("--secret", f"key=file:{operator.pair.image.locked_key}")
    status, events = operator.run(
        *operator.sure, *keys, "--secret", f"key-passphrase=file:{phrase}"
    )
    assert status == 0, json.dumps(events[-3:], indent=1)
    operator.pair.target.wait_off()
    written = [path for path in (operator.directory / "state").rglob("*") if path.is_file()]
    private = operator.pair.image.locked_key.read_text().splitlines()[1:-1]
    for path in written:
        seen = path.read_text(errors="replace")
        assert "zguest key" not in seen, path
        assert not [line for line in private if line[:40] in seen], path
    operator.pair.reset_target(blank=False, options={"firmware": "1"}, reboots=True)
    guests_agree(operator.pair.server, operator.pair.target)
