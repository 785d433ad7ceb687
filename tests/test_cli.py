"""The command line as an operator types it, against simulated machines; every exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zrwizard import plan as plans
from zrwizard import rehearse
from zrwizard.cli import main
from zrwizard.rehearsal import Rehearsal, Scenario, Start
from zrwizard.run.events import Exit

REPOSITORY = Path(__file__).parent.parent
FAST = Scenario(start=Start.PLAIN, power_on_at_connect=False)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ZR_TEST_PASSWORD", FAST.password)
    return tmp_path


@pytest.fixture
def machines() -> Iterator[Rehearsal]:
    with Rehearsal(speed=200, scenario=FAST) as made:
        yield made


def answers_file(home: Path, made: Rehearsal | None = None, **changes: str | None) -> Path:
    """Write an answers file; `server__port="1"` changes a key, None leaves it out."""
    given: dict[str, str] = {"server.host": "10.0.2.2", "server.host_key": "SHA256:x"}
    given["target.disk"] = "ZRDISK0001"
    if made is not None:
        given.update(rehearse.answers(made))
    for key, value in changes.items():
        name = key.replace("__", ".")
        given.pop(name, None)
        if value is not None:
            given[name] = value
    path = home / "answers.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items()))
    return path


def restore(home: Path, made: Rehearsal, *more: str, **changes: str | None) -> list[str]:
    """Return the arguments of a headless restore that would go through."""
    path = answers_file(home, made, **changes)
    options = {
        "--console": made.url,
        "--answers": str(path),
        "--confirm-erase": "ZRDISK0001",
        "--secret": "server=env:ZR_TEST_PASSWORD",
    }
    rest = list(more)
    for name in list(options):
        if name in rest:
            at = rest.index(name)
            options[name] = rest[at + 1]
            del rest[at : at + 2]
    return ["restore", "--headless", "--json", *[w for o in options.items() for w in o], *rest]


def last(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    assert found["event"] == "RunFinished"
    return found


def untouched(made: Rehearsal) -> bool:
    disk = made.target.disks[0]
    return disk.table is None and not made.accidents


# --- without a machine -------------------------------------------------------------------------


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("zrwizard ")


def test_the_template(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["answers", "restore"]) == Exit.DONE
    tables = tomllib.loads(capsys.readouterr().out)
    assert set(tables["server"]) >= {"host", "host_key"}


@pytest.mark.parametrize(
    "argv",
    [["nonsense"], ["restore", "--plan", "pdf"], ["answers"], ["rehearse", "--speed", "-1"]],
)
def test_wrong_usage(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == Exit.USAGE


URL = "telnet://127.0.0.1:1"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "--console is missing"),
        (["--console", "http://x"], "is not a console address"),
        (["--console", URL], "server.host (The backup server"),
        (["--console", URL], "target.disk"),
        (["--console", URL, "--answers", "/nowhere"], "cannot be read"),
        (["--console", URL, "--secret", "server"], "expected NAME=file:PATH"),
        (["--console", URL, "--secret", "server=env:ZR_NO_SUCH"], "no variable ZR_NO_SUCH"),
    ],
)
def test_usage_is_told_in_a_sentence(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", "--headless", *argv]) == Exit.USAGE
    assert said in capsys.readouterr().err
    assert main(["restore", "--headless", "--json", *argv]) == Exit.USAGE
    assert said in last(capsys.readouterr().out)["summary"]


def test_an_unknown_key(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = answers_file(home, server__prot="22")
    assert main(["restore", "--headless", "--console", URL, "--answers", str(path)]) == Exit.USAGE
    err = capsys.readouterr().err
    assert "server.prot" in err
    assert "Did you mean server.port?" in err


def test_all_missing_answers_at_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = answers_file(home, server__host=None, target__disk=None)
    assert main(["restore", "--headless", "--console", URL, "--answers", str(path)]) == Exit.USAGE
    err = capsys.readouterr().err
    assert "server.host (" in err
    assert "target.disk (" in err
    assert "server.host_key (" not in err


def test_nobody_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"telnet://127.0.0.1:{free.getsockname()[1]}"
    path = str(answers_file(home))
    assert main(["restore", "--headless", "--json", "--console", url, "--answers", path]) == 4
    assert "nobody listens" in last(capsys.readouterr().out)["summary"]


def test_no_traceback_reaches_the_user(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("with " + FAST.password)

    monkeypatch.setattr("zrwizard.answers.template", broken)
    assert main(["answers", "restore"]) == Exit.FAILED
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert "crash-" in err
    assert list((home / "state" / "zrwizard").glob("crash-*.txt"))


# --- on simulated machines -----------------------------------------------------------------------


def test_a_restore_with_a_password(
    home: Path, machines: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(restore(home, machines)) == Exit.DONE
    out = capsys.readouterr().out
    end = last(out)
    assert end["exit"] == 0
    assert machines.would_boot() == []
    assert machines.accidents == []
    report = Path(end["report"]).read_text()
    assert "ZRDISK0001" in report
    assert FAST.password not in out + report
    for path in (home / "state").rglob("*"):
        if path.is_file():
            assert FAST.password.encode() not in path.read_bytes(), path


def test_a_restore_with_a_key(home: Path, machines: Rehearsal) -> None:
    key = home / "key"
    key.write_text(machines.private_key)
    key.chmod(0o600)
    argv = restore(home, machines, "--secret", f"key=file:{key}", server__auth="key")
    assert main(argv) == Exit.DONE
    assert machines.would_boot() == []
    secret = machines.private_key.splitlines()[2].encode()
    for path in (home / "state").rglob("*"):
        if path.is_file():
            assert secret not in path.read_bytes(), path


@pytest.mark.parametrize("form", ["json", "sh", "md"])
def test_the_plan_is_shown_and_nothing_touched(
    home: Path, machines: Rehearsal, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    assert main(restore(home, machines, "--plan", form)) == Exit.DONE
    out = capsys.readouterr().out
    assert "gpart create" in out
    if form == "json":
        assert [disk.typed for disk in plans.from_json(out).disks] == ["ZRDISK0001"]
    elif form == "sh":
        done = subprocess.run(["sh", "-n"], input=out.encode(), check=False)
        assert done.returncode == 0
    else:
        assert out.startswith("# ")
    assert untouched(machines)


@pytest.mark.parametrize("identity", ["ZRDISK0002", "vtbd0"])
def test_the_wrong_identity_is_refused(
    home: Path, machines: Rehearsal, capsys: pytest.CaptureFixture[str], identity: str
) -> None:
    assert main(restore(home, machines, "--confirm-erase", identity)) == Exit.REFUSED
    assert "ZRDISK0001" in last(capsys.readouterr().out)["now"]
    assert untouched(machines)


def test_a_wrong_password(
    home: Path,
    machines: Rehearsal,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ZR_TEST_PASSWORD", "not the password")
    assert main(restore(home, machines)) == Exit.FAILED
    assert "“server” was not accepted" in last(capsys.readouterr().out)["summary"]
    assert untouched(machines)


def test_no_password(home: Path, machines: Rehearsal, capsys: pytest.CaptureFixture[str]) -> None:
    argv = restore(home, machines)
    at = argv.index("--secret")
    assert main([*argv[:at], *argv[at + 2 :]]) == Exit.USAGE
    assert "--secret server=" in last(capsys.readouterr().out)["now"]


def test_an_unexpected_host_key(
    home: Path, machines: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    machines.change_host_key()
    assert main(restore(home, machines)) == Exit.REFUSED
    assert "host key" in last(capsys.readouterr().out)["summary"]
    assert untouched(machines)


def test_the_host_key_may_be_an_option(
    home: Path, machines: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    key = machines.host_fingerprint
    argv = restore(home, machines, "--host-key", key, "--plan", "json", server__host_key=None)
    assert main(argv) == Exit.DONE


def test_a_server_that_refuses(
    home: Path, machines: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    machines.refuse()
    assert main(restore(home, machines)) == Exit.UNREACHABLE
    assert "Nothing answers at" in last(capsys.readouterr().out)["summary"]


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"dhcp": False}, Exit.UNREACHABLE, "No DHCP server"),
        ({"pool_on_server": False}, Exit.USAGE, "hostA"),
        ({"every_snapshot_incomplete": True}, Exit.USAGE, "missing"),
        ({"disk_size": 1 << 30}, Exit.USAGE, "too small"),
        ({"disk_in_use": True}, Exit.REFUSED, "imported pool"),
        ({"console_taken": True}, Exit.UNREACHABLE, "somebody else"),
    ],
)
def test_bad_input(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
    code: Exit,
    said: str,
) -> None:
    with Rehearsal(speed=200, scenario=replace(FAST, **change)) as made:
        assert main(restore(home, made, source__snapshot="newest")) == code
        end = last(capsys.readouterr().out)
        assert said in end["summary"]
        assert end["now"]
        assert not made.accidents


def test_a_snapshot_that_a_dataset_lacks_is_restored_without_it(
    home: Path
) -> None:
    scenario = replace(FAST, every_snapshot_incomplete=True)
    with Rehearsal(speed=200, scenario=scenario) as made:
        assert main(restore(home, made, source__snapshot="2025-08-08-deep")) == Exit.DONE
        assert not made.would_boot()


def test_a_disk_that_changes_between_review_and_run(
    home: Path,
    machines: Rehearsal,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from zrwizard.headless import Headless

    review = Headless.review

    def swapped(front: Headless, plan: plans.Plan) -> object:
        machines.change_disk(serial="OTHER")
        return review(front, plan)

    monkeypatch.setattr(Headless, "review", swapped)
    assert main(restore(home, machines)) == Exit.REFUSED
    assert "OTHER" in last(capsys.readouterr().out)["summary"]
    assert untouched(machines)


# --- other processes ---------------------------------------------------------------------------


def spawn(*argv: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "zrwizard", *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, **environ},
    )


def until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    """Read lines until one holds `wanted`."""
    assert process.stdout is not None
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line)
        if wanted in line:
            return seen
    raise AssertionError("".join(seen[-5:]))


def test_the_rehearsal_runs_unattended() -> None:
    process = spawn("rehearse", "restore", "--headless", "--json", "--speed", "200")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["event"] == "RunFinished"
    assert "would boot" in events[-1]["summary"] or "boots" in events[-1]["summary"]
    assert {"RunStarted", "StepStarted", "Typed", "Answered", "StepDone", "Progress"} <= {
        event["event"] for event in events
    }
    shown = [event for event in events if event["event"] == "Progress"]
    assert all(0 <= (event["fraction"] or 0) <= 1 for event in shown)
    received = [event["received"] for event in shown]
    assert received == sorted(received)
    last_one = shown[-1]
    assert (last_one["counted"], last_one["sent"]) == ("stream", last_one["received"])
    assert last_one["part_number"] == last_one["parts"] > 1
    assert last_one["doubts"] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_good_order(home: Path, machines: Rehearsal, number: int) -> None:
    process = spawn(*restore(home, machines))
    until(process, '"step": "new-table", "role": "act"')
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED, out[-500:] + err
    assert last(out)["exit"] == Exit.INTERRUPTED
    assert "Traceback" not in err
    assert main(restore(home, machines)) == Exit.DONE
    assert machines.would_boot() == []
    assert machines.accidents == []


@pytest.mark.parametrize(
    "moment",
    [
        '"step": "new-table", "role": "act"',
        '"step": "pool", "role": "act"',
        '"event": "Progress"',
        '"step": "bootfs", "role": "act"',
        '"step": "unmark", "role": "act"',
    ],
)
def test_killed_anywhere_and_started_again(
    home: Path, machines: Rehearsal, moment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    process = spawn(*restore(home, machines))
    until(process, moment)
    process.kill()
    process.communicate()
    time.sleep(0.2)
    assert main(restore(home, machines)) == Exit.DONE
    out = capsys.readouterr().out
    assert '"resumed": true' in out
    assert machines.would_boot() == []
    assert machines.accidents == []
    assert len(list((home / "state" / "zrwizard" / "runs").iterdir())) == 1
