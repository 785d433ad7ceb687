"""A preview's session on a real shell: what it mounts it unmounts, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.bridge import Bridge
from tests.preview.standin import Machine, door
from zrwizard.flows import preview as plans
from zrwizard.plan import Plan
from zrwizard.preview.session import opened, unfinished
from zrwizard.run.events import Event, Exit, Note, StepDone, Typed
from zrwizard.shell.readonly import NotReadOnly, ReadOnly

REPOSITORY = Path(__file__).parent.parent.parent
KILLED = """\
import sys, threading, time
from pathlib import Path
from zrwizard.preview.session import Door, opened
from zrwizard.secrets import Secrets
url, state = sys.argv[1:]
with opened(Door(url, url, Secrets(), Path(state), threading.Event())) as session:
    session.carry(session.mount_plan(["tank/a", "tank/b"]))
    print(session.home, flush=True)
    time.sleep(60)
"""


Scenario = Callable[[Machine, Bridge, Path], None]
SCENARIOS: dict[str, Scenario] = {}


def scenario(work: Scenario) -> Scenario:
    """Have `work` done on a machine of its own, together with all others."""
    SCENARIOS[work.__name__] = work
    return work


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    """All scenarios at once: they wait for quiet consoles most of their time."""

    def play(work: Scenario, where: Path) -> None:
        machine = Machine(where / "machine")
        with machine.bridge() as bridge:
            work(machine, bridge, where)

    with (
        pytest.MonkeyPatch.context() as patch,
        ThreadPoolExecutor(len(SCENARIOS)) as pool,
    ):
        patch.setattr("zrwizard.preview.session._GRACE", 1.0)
        yield {
            name: pool.submit(play, work, tmp_path_factory.mktemp(name))
            for name, work in SCENARIOS.items()
        }


@scenario
def what_was_agreed_is_mounted_and_unmounted(
    machine: Machine, bridge: Bridge, tmp_path: Path
) -> None:
    state, heard = tmp_path / "state", list[Event]()
    with opened(door(bridge, state), heard.append) as session:
        plan = session.mount_plan(["tank/a", "tank/with blank"])
        assert machine.log == []
        assert session.carry(plan).exit is Exit.DONE
        points = [plans.mount_point(session.home, number) for number in (1, 2)]
        assert machine.mounts == [f"tank/a on {points[0]}", f"tank/with blank on {points[1]}"]
        assert Path(points[0]).stat().st_mode & 0o777 == 0o700
        more = session.mount_plan(["tank/c"])
        assert session.carry(more).exit is Exit.DONE
        assert len(machine.mounts) == 3
        assert len(unfinished(state, bridge.url)) == 1
    assert machine.mounts == []
    assert not Path(session.home).exists()
    assert unfinished(state, bridge.url) == ()
    typed = [event.text for event in heard if isinstance(event, Typed) and event.role == "act"]
    assert f"mount -t zfs -o ro 'tank/with blank' {points[1]}" in typed[1]
    assert not [event for event in heard if isinstance(event, Note)]


@scenario
def nothing_that_is_mounted_is_touched(machine: Machine, bridge: Bridge, tmp_path: Path) -> None:
    """Somebody mounted it between the look and the plan: that mount is theirs, and stays."""
    (machine.here / "mounts").write_text("tank/a on /home (zfs, local)\n")
    with opened(door(bridge, tmp_path / "state")) as session:
        outcome = session.carry(session.mount_plan(["tank/a"]))
        assert outcome.exit is Exit.REFUSED
        assert "mounted by now" in outcome.what
    assert machine.mounts == ["tank/a on /home"]
    assert machine.log == []
    assert not Path(session.home).exists()


@scenario
def a_mount_that_fails_is_no_reason_to_leave_the_others(
    machine: Machine, bridge: Bridge, tmp_path: Path
) -> None:
    (machine.here / "broken-tank_b").touch()
    with opened(door(bridge, tmp_path / "state")) as session:
        outcome = session.carry(session.mount_plan(["tank/a", "tank/b"]))
        assert outcome.exit is Exit.FAILED
        assert "Device busy" in outcome.what
        assert len(machine.mounts) == 1
    assert machine.mounts == []
    assert not Path(session.home).exists()


@scenario
def what_cannot_be_unmounted_is_told_and_undone_the_next_time(
    machine: Machine, bridge: Bridge, tmp_path: Path
) -> None:
    state, heard = tmp_path / "state", list[Event]()
    with opened(door(bridge, state), heard.append) as session:
        session.carry(session.mount_plan(["tank/a"]))
        (machine.here / "busy").touch()
    warnings = [event.text for event in heard if isinstance(event, Note)]
    assert len(warnings) == 1
    assert "Device busy" in warnings[0]
    assert len(machine.mounts) == 1
    assert Path(session.home).is_dir()
    assert len(unfinished(state, bridge.url)) == 1
    (machine.here / "busy").unlink()
    with opened(door(bridge, state), heard.append) as later:
        assert machine.mounts == []
        assert not Path(session.home).exists()
    assert unfinished(state, bridge.url) == ()
    assert not Path(later.home).exists()


@scenario
def a_killed_process_is_undone_by_the_next_one(
    machine: Machine, bridge: Bridge, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    with subprocess.Popen(
        [sys.executable, str(script), bridge.url, str(state)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    ) as process:
        assert process.stdout is not None
        home = Path(process.stdout.readline().decode().strip())
        process.send_signal(signal.SIGKILL)
    assert len(machine.mounts) == 2
    assert home.is_dir()
    heard: list[Event] = []
    with opened(door(bridge, state), heard.append) as session:
        assert machine.mounts == []
        assert not home.exists()
        assert session.token not in str(home)
    assert any(isinstance(event, Note) and home.name[3:] in event.text for event in heard)
    assert [row.partition(" ")[0] for row in machine.log] == ["mount"] * 2 + ["umount"] * 2
    assert unfinished(state, bridge.url) == ()


@scenario
def a_cancelled_session_still_undoes(machine: Machine, bridge: Bridge, tmp_path: Path) -> None:
    cancel = threading.Event()
    with opened(door(bridge, tmp_path / "state", cancel)) as session:
        session.carry(session.mount_plan(["tank/a"]))
        cancel.set()
    assert machine.mounts == []
    assert not Path(session.home).exists()


@scenario
def a_cut_line_is_opened_again_to_undo(machine: Machine, bridge: Bridge, tmp_path: Path) -> None:
    with opened(door(bridge, tmp_path / "state")) as session:
        session.carry(session.mount_plan(["tank/a"]))
        bridge.cut()
    assert machine.mounts == []


@scenario
def the_shell_that_others_get_only_looks(machine: Machine, bridge: Bridge, tmp_path: Path) -> None:
    with opened(door(bridge, tmp_path / "state")) as session:
        shell = session.read_only()
        assert not shell.allows_temporary_snapshot
        with pytest.raises(NotReadOnly):
            shell.run(("zfs", "destroy", "tank/a@x"))
        with pytest.raises(NotReadOnly):
            shell.run(("umount", "/"))
        reachable = [name for name in dir(session) if not name.startswith("_")]
        assert "hands_on" not in reachable
        assert not {"upload", "talk", "leave", "start_job"} & set(reachable)
        assert isinstance(shell, ReadOnly)
    assert machine.log == []


def copy(session_token: str, source: Path, present: Path, tag: str = "daily-1") -> Plan:
    made = plans.copy_plan(session_token, "tank/a", os.fsencode(source), os.fsencode(present), tag)
    assert isinstance(made, Plan)
    return made


@scenario
def an_old_version_is_put_beside_the_present_one(
    machine: Machine, bridge: Bridge, tmp_path: Path
) -> None:
    (machine.here / "mounts").write_text("tank/a on /home (zfs, local)\n")
    name = os.fsdecode(b"a $(touch pwned) '\xff\n -> b")
    old = tmp_path / "snapshot" / name
    old.parent.mkdir()
    old.write_bytes(b"old\n")
    old.chmod(0o640)
    os.utime(old, (1_000_000_000, 1_000_000_000))
    present = tmp_path / "live" / name
    present.parent.mkdir()
    present.write_bytes(b"new\n")
    heard: list[Event] = []
    with opened(door(bridge, tmp_path / "state"), heard.append) as session:
        assert session.carry(copy(session.token, old, present)).exit is Exit.DONE
        again = session.carry(copy(session.token, old, present))
        assert again.exit is Exit.DONE
        assert [e.skipped for e in heard if isinstance(e, StepDone)] == [False, True]
        (tmp_path / "live" / f"{name}.zr-other").write_bytes(b"mine\n")
        refused = session.carry(copy(session.token, old, present, "other"))
        assert refused.exit is Exit.REFUSED
        assert "nothing is ever overwritten" in refused.what
        machine.tell(readonly="on")
        refused = session.carry(copy(session.token, old, present, "third"))
        assert "mounted read-only" in refused.what
    made = tmp_path / "live" / f"{name}.zr-daily-1"
    assert made.read_bytes() == b"old\n"
    assert made.stat().st_mode & 0o777 == 0o640
    assert made.stat().st_mtime == 1_000_000_000
    assert present.read_bytes() == b"new\n"
    assert (tmp_path / "live" / f"{name}.zr-other").read_bytes() == b"mine\n"
    assert sorted(os.listdir(tmp_path / "live")) == sorted(
        [name, f"{name}.zr-daily-1", f"{name}.zr-other"]
    )
    assert not (tmp_path / "pwned").exists()


@scenario
def a_hang_is_cut_short_when_the_operator_insists(
    machine: Machine, bridge: Bridge, tmp_path: Path
) -> None:
    machine.tool("mount", "#!/bin/sh\n[ $# -gt 0 ] || exit 0\nsleep 100\n")
    cancel = threading.Event()
    began = time.monotonic()
    with opened(door(bridge, tmp_path / "state", cancel)) as session:
        timer = threading.Timer(1.0, cancel.set)
        timer.start()
        outcome = session.carry(session.mount_plan(["tank/a"]))
        assert outcome.exit is Exit.INTERRUPTED
        timer.join()
    assert time.monotonic() - began < 30
    assert not Path(session.home).exists()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_session(running: dict[str, Future[None]], name: str) -> None:
    running[name].result(60)
