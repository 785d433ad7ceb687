"""The survey against a real sh whose tools answer what a real FreeBSD answered."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.listing import dataset, snapshot
from tests.shlint import lint
from zrwizard import facts as known
from zrwizard import survey
from zrwizard.cksum import cksum
from zrwizard.console.errors import MachineLost, NoAnswer
from zrwizard.facts import Facts, Use
from zrwizard.flows.moves import Look
from zrwizard.freebsd import inventory
from zrwizard.mover.measure import Link
from zrwizard.run.events import Answered, Event, Note, Typed
from zrwizard.secrets import Secret
from zrwizard.shell.api import Job, Result, Rule, unheard

MACHINES = Path(__file__).parent / "machines"
TOKEN = "0123456789ab"

# One script for every tool: what it says lies in files named by the checksum of its command line.
STUB = """#!/bin/sh
k=$(printf '%s' "${0##*/} $*" | /usr/bin/cksum | /usr/bin/tr -d ' ')
cd DATA || exit 99
if [ -e "$k.rc" ]; then
  cat "$k.out"; cat "$k.err" >&2; exit "$(cat "$k.rc")"
fi
printf '%s: nobody recorded this: %s\\n' "${0##*/}" "$*" >&2; exit 99
"""


@dataclass
class Recorded:
    """A `Shell` on this machine's sh, whose PATH begins with the recorded tools."""

    root: Path
    home: str = f"/tmp/zr-{TOKEN}"
    on_cut = staticmethod(unheard)
    typed: list[str] = field(default_factory=list)
    hangs: str = ""

    def add(self, cmd: str, stdout: str = "", status: int = 0, stderr: str = "") -> None:
        data, tools = self.root / "data", self.root / "bin"
        data.mkdir(parents=True, exist_ok=True)
        tools.mkdir(parents=True, exist_ok=True)
        key = f"{cksum(cmd.encode())}{len(cmd.encode())}"
        (data / f"{key}.out").write_text(stdout)
        (data / f"{key}.err").write_text(stderr)
        (data / f"{key}.rc").write_text(str(status))
        tool = tools / cmd.split(" ", maxsplit=1)[0]
        tool.write_text(STUB.replace("DATA", str(data)))
        tool.chmod(0o755)

    def run(self, text: str, *, timeout: float = 30.0) -> Result:
        self.typed.append(text)
        if self.hangs and self.hangs in text:
            raise NoAnswer("no whole answer")
        started = time.monotonic()
        done = subprocess.run(
            ["sh", "-c", text],
            env={"PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr, time.monotonic() - started)

    def talk(self, text: str, rules: tuple[Rule, ...] = (), *, timeout: float = 120.0) -> Result:
        raise AssertionError("a survey asks nobody")

    def feed(self, text: str, secret: Secret, *, timeout: float = 120.0) -> Result:
        raise AssertionError("a survey gives nothing away")

    def upload(self, path: str, data: bytes | Secret, mode: int = 0o600) -> None:
        raise AssertionError("a survey writes nothing")

    def download(self, path: str, to: Path) -> None:
        raise AssertionError("a survey fetches nothing")

    def start_job(self, name: str, script: str) -> None:
        raise AssertionError("a survey starts nothing")

    def job(self, name: str) -> Job:
        raise AssertionError("a survey starts nothing")

    def stop_job(self, name: str) -> None:
        raise AssertionError("a survey starts nothing")

    def leave(
        self, text: str, *, until: str, timeout: float, secret: Secret | None = None
    ) -> str:
        raise AssertionError("a survey leaves nothing")

    def close(self) -> None:
        pass


def machine(name: str, where: Path) -> Recorded:
    shell = Recorded(where)
    for row in json.loads((MACHINES / f"{name}.json").read_text())["commands"]:
        shell.add(row["cmd"], row["stdout"], row["status"], row["stderr"])
    return shell


def look(
    shell: Recorded, what: str, *detail: str, facts: Facts | None = None
) -> tuple[Facts, list[Event]]:
    events: list[Event] = []
    move = Look(what, detail, "looking")
    return survey.look(shell, facts or known.empty(TOKEN), move, events.append), events


def ssh(command: str) -> str:
    return f"ssh -F /tmp/zr-{TOKEN}/ssh_config -o BatchMode=yes backup {command}"


@pytest.mark.parametrize("name", ["blank", "used"])
def test_recorded_machine_gives_the_kept_facts(name: str, tmp_path: Path) -> None:
    found, _ = look(machine(name, tmp_path), "target")
    path = MACHINES / f"{name}.facts.json"
    if os.environ.get("ZRWIZARD_RECORD"):
        path.write_text(found.to_json())
    assert found == known.from_json(path.read_text())


def test_blank_machine(tmp_path: Path) -> None:
    found, events = look(machine("blank", tmp_path), "target")
    target = found.target
    assert target is not None
    assert (target.uid, target.release, target.arch) == (0, "14.0-CURRENT", "amd64")
    assert target.boot_method == "BIOS"
    assert (target.serial, target.serial_speed) == ("ttyu0", "115200")
    assert target.live
    assert target.tmp_free == 20472 * 1024
    assert target.zfs_version == (2, 1, 99)
    assert "openzfs-2.1-freebsd" in target.compatibility
    assert "gptzfsboot" in target.boot_files
    assert "loader.efi" not in target.boot_files
    assert [disk.name for disk in target.disks] == ["ada0", "cd0", "da0", "vtbd0", "vtbd1"]
    by_name = {disk.name: disk for disk in target.disks}
    assert by_name["vtbd0"].disk.ident == "ZRDISK0001"
    assert by_name["vtbd0"].contents == "4294967295 0"
    assert by_name["vtbd0"].holds == ()
    assert [hold.use for hold in by_name["cd0"].holds] == [Use.MEDIUM]
    assert by_name["cd0"].typed == "cd0 107241472"
    assert [nic.name for nic in target.nics] == ["em0", "vtnet0"]
    assert target.default_route is None
    assert target.hung == ()
    typed = [event for event in events if isinstance(event, Typed)]
    answered = [event for event in events if isinstance(event, Answered)]
    assert {event.role for event in typed + answered} == {"survey"}
    assert len(typed) == len(answered) == len(survey.target_commands())


def test_used_machine_says_who_holds_what(tmp_path: Path) -> None:
    found, _ = look(machine("used", tmp_path), "target")
    assert found.target is not None
    holds = {
        disk.name: [(h.use, h.what, h.provider) for h in disk.holds] for disk in found.target.disks
    }
    assert holds["vtbd0"] == [(Use.IMPORTABLE, "zroot", "vtbd0p4")]
    assert holds["vtbd1"] == [
        (Use.POOL, "wd", "vtbd1"),
        (Use.GELI, "vtbd1.eli", "vtbd1"),
    ]
    assert holds["ada0"] == [(Use.GELI, "ada0.eli", "ada0")]
    assert holds["da0"] == []
    table = next(disk.table for disk in found.target.disks if disk.name == "vtbd0")
    assert table is not None
    assert [entry.label for entry in table.entries] == ["gptboot0", "efiboot0", "swap0", "zfs0"]


def test_swap_and_mounts_lock_their_disk(tmp_path: Path) -> None:
    shell = machine("used", tmp_path)
    shell.add(
        "swapinfo -k",
        "Device          1K-blocks     Used    Avail Capacity\n"
        "/dev/gpt/swap0     524288        0   524288     0%\n",
    )
    shell.add("mount -p", "/dev/da0p2 / ufs rw 1 1\n/dev/gpt/efiboot0 /boot/efi msdosfs rw 0 0\n")
    found, _ = look(shell, "target")
    assert found.target is not None
    holds = {disk.name: [(h.use, h.provider) for h in disk.holds] for disk in found.target.disks}
    assert holds["vtbd0"][:2] == [(Use.MOUNTED, "vtbd0p2"), (Use.SWAP, "vtbd0p3")]
    assert holds["da0"] == [(Use.MEDIUM, "da0p2")]
    assert not found.target.live


@pytest.mark.parametrize("how", ["console", "timeout"])
def test_hanging_import_is_named_and_the_survey_goes_on(tmp_path: Path, how: str) -> None:
    shell = machine("blank", tmp_path)
    if how == "console":
        shell.hangs = "zpool import"
    else:
        shell.add("zpool import", "", 124)
    found, events = look(shell, "target")
    assert found.target is not None
    assert found.target.hung == ("zpool import",)
    assert found.target.disks
    notes = [event.text for event in events if isinstance(event, Note)]
    assert len(notes) == 1
    assert "`zpool import` did not come back" in notes[0]
    assert "unplug" in notes[0]


def test_hanging_disks_end_the_survey(tmp_path: Path) -> None:
    shell = machine("blank", tmp_path)
    shell.hangs = "geom disk list"
    with pytest.raises(survey.SurveyError) as caught:
        look(shell, "target")
    assert "geom" in caught.value.what
    assert "power cycle" in caught.value.now
    assert caught.value.exit == 4


def test_nonsense_is_an_error_with_words(tmp_path: Path) -> None:
    shell = machine("blank", tmp_path)
    shell.add("geom disk list", "Segmentation fault\n")
    with pytest.raises(survey.SurveyError) as caught:
        look(shell, "target")
    assert "unknown form" in caught.value.what
    assert caught.value.exit == 1


def test_console_errors_pass(tmp_path: Path) -> None:
    shell = machine("blank", tmp_path)

    def lost(text: str, *, timeout: float = 30.0) -> Result:
        raise MachineLost("the line ended")

    shell.run = lost  # type: ignore[method-assign]
    with pytest.raises(MachineLost):
        look(shell, "target")


def test_gpart_missing_serial_and_null_serial(tmp_path: Path) -> None:
    shell = machine("blank", tmp_path)
    shell.add("diskinfo -s vtbd0", "(null)\n")
    shell.add("diskinfo -s vtbd1", "\n")
    found, _ = look(shell, "target")
    assert found.target is not None
    named = {disk.name: disk.typed for disk in found.target.disks}
    assert named["vtbd0"] == "vtbd0 4294967296"
    assert named["vtbd1"] == "vtbd1 4294967296"


# --- the server ---------------------------------------------------------------------------------

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIJ2hfQVw0FfYkzQ1Bhb6Q0jv0TGrmq9SxZwS1w4jgk1Z"
TREE = dataset("hostA") + snapshot("hostA@a", 9, 12)


def test_host_keys(tmp_path: Path) -> None:
    shell = Recorded(tmp_path)
    shell.add(
        "ssh-keyscan -T 10 -p 2223 10.0.2.2",
        f"# 10.0.2.2:2223 SSH-2.0-OpenSSH_9.0\n[10.0.2.2]:2223 ssh-ed25519 {KEY}\n",
    )
    found, _ = look(shell, "hostkey", "10.0.2.2", "2223")
    assert found.server.endpoint == "10.0.2.2 2223"
    assert [key.short_type for key in found.server.keys] == ["ED25519"]
    assert found.server.keys[0].fingerprint.startswith("SHA256:")


def test_no_host_key_is_an_unreachable_server(tmp_path: Path) -> None:
    shell = Recorded(tmp_path)
    shell.add("ssh-keyscan -T 10 -p 22 10.0.2.9", "", 1)
    with pytest.raises(survey.SurveyError) as caught:
        look(shell, "hostkey", "10.0.2.9", "22")
    assert caught.value.exit == 4
    assert "10.0.2.9 port 22" in caught.value.what


def test_datasets_tree_estimate(tmp_path: Path) -> None:
    shell = Recorded(tmp_path)
    shell.add(ssh("zfs list -Hp -d 1 -t filesystem -o name,used,creation"), "hostA\t1\t2\n")
    shell.add(
        ssh(inventory.command("hostA")),
        TREE,
    )
    shell.add(ssh(inventory.was_received("hostA")), "received\n")
    shell.add(ssh("zfs send -nvP -R hostA@a"), "full\thostA@a\t12912\nsize\t12912\n")
    facts, _ = look(shell, "datasets", "root@10.0.2.2:22")
    assert facts.server.login == "root@10.0.2.2:22"
    assert [row.name for row in facts.server.roots or ()] == ["hostA"]
    facts, _ = look(shell, "tree", "hostA", facts=facts)
    assert facts.server.tree is not None
    assert list(facts.server.tree["hostA"].snapshots.guids) == [12]
    assert facts.server.tree_received
    facts, _ = look(shell, "estimate", "hostA@a", facts=facts)
    assert facts.server.estimate is not None
    assert facts.server.estimate.total == 12912
    assert known.from_json(facts.to_json()) == facts


@pytest.mark.parametrize(
    ("said", "status", "found"),
    [
        ("trip 10 0.8\none 3000 1.5\ntwo 2000 1.0\ntwo 1000 1.0\n", 0, Link(0.08, 2000, 3000)),
        ("trip 10 0.8\none 3000 1.5\n", 0, None),
        ("", 124, None),
    ],
    ids=["whole", "half", "late"],
)
def test_the_link_is_measured(
    tmp_path: Path, said: str, status: int, found: Link | None
) -> None:
    shell = Recorded(tmp_path)
    where = f"/tmp/zr-{TOKEN}/link"
    shell.add(f"timeout 72 sh {where}/measure.sh {where} streams", said, status)
    facts, _ = look(shell, "link", "root@10.0.2.2:22", where)
    assert (facts.server.link_of, facts.server.link) == ("root@10.0.2.2:22", found)
    assert known.from_json(facts.to_json()) == facts


def test_a_server_that_does_not_tell_its_properties(tmp_path: Path) -> None:
    shell = Recorded(tmp_path)
    shell.add(ssh(inventory.command("hostA")), TREE)
    shell.add(ssh(inventory.was_received("hostA")), "", 1, "permission denied\n")
    with pytest.raises(survey.SurveyError) as caught:
        look(shell, "tree", "hostA")
    assert caught.value.what == "The server did not tell the properties of hostA: permission denied"


def test_missing_dataset_and_refused_estimate_are_facts(tmp_path: Path) -> None:
    shell = Recorded(tmp_path)
    shell.add(
        ssh(inventory.command("hostX")),
        "",
        1,
        "cannot open 'hostX': dataset does not exist\n",
    )
    shell.add(
        ssh("zfs send -nvP -R hostA@b"),
        "",
        1,
        "WARNING: could not send hostA/var@b: does not exist\n",
    )
    facts, _ = look(shell, "tree", "hostX")
    assert (facts.server.tree_of, facts.server.tree) == ("hostX", None)
    facts, _ = look(shell, "estimate", "hostA@b")
    assert facts.server.estimate is None
    assert "a child dataset lacks the snapshot" in facts.server.refused


def test_lost_login_is_unreachable(tmp_path: Path) -> None:
    shell = Recorded(tmp_path)
    shell.add(
        ssh("zfs list -Hp -d 1 -t filesystem -o name,used,creation"),
        "",
        255,
        "ssh: connect to host 10.99.0.2 port 2223: Connection refused\r\n",
    )
    with pytest.raises(survey.SurveyError) as caught:
        look(shell, "datasets", "root@10.99.0.2:2223")
    assert caught.value.exit == 4
    assert "nothing listens on port 2223" in caught.value.what


def test_commands_are_posix(tmp_path: Path) -> None:
    for number, text in enumerate(survey.target_commands()):
        path = tmp_path / f"{number}.sh"
        path.write_text(text + "\n")
        lint(path)


def test_empty_facts_refuse_odd_tokens() -> None:
    with pytest.raises(ValueError, match="token"):
        known.empty("x; rm -rf /")
    assert known.empty("abcd").home == "/tmp/zr-abcd"


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": "zrwizard-facts-1", "token": 3}', "nul"])
def test_from_json_refuses_nonsense(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        known.from_json(text)


def test_round_trip_keeps_everything() -> None:
    facts = known.from_json((MACHINES / "used.facts.json").read_text())
    marked = replace(facts, prepared=frozenset({"network x", "login y"}))
    assert known.from_json(marked.to_json()) == marked
