"""`zrwizard server` and `zrwizard keys` as an operator types them, on a simulated computer."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.shlint import lint
from zrwizard import export, facts, rehearse
from zrwizard.cli import main, operator_of
from zrwizard.plan import Edit, Feed, Local, from_json
from zrwizard.rehearsal import Rehearsal
from zrwizard.run.events import Exit
from zrwizard.secrets import Secrets

URL = "telnet://127.0.0.1:1"
REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("ZR_TEST_WORD", "a passphrase of five words here")
    return tmp_path


def last(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    assert found["event"] == "RunFinished"
    return found


def test_the_template(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["answers", "server"]) == Exit.DONE
    assert tomllib.loads(capsys.readouterr().out)["server"]["name"] == "knox"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "--console is missing"),
        (["--console", "http://x"], "is not a console address"),
        (["--console", URL], "server.name (The backup server's name"),
        (["--console", URL, "--answers", "/nowhere"], "cannot be read"),
        (["--console", URL, "--secret", "ca-passphrase"], "expected NAME=file:PATH"),
    ],
)
def test_usage_is_told_in_a_sentence(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["server", "--headless", *argv]) == Exit.USAGE
    assert said in capsys.readouterr().err
    assert main(["server", "--json", *argv]) == Exit.USAGE
    assert said in last(capsys.readouterr().out)["summary"]


def test_a_host_key_is_not_asked_of_a_set_up() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["server", "--host-key", "SHA256:x"])
    assert caught.value.code == Exit.USAGE


def test_only_the_set_up_has_a_side_on_this_machine(home: Path) -> None:
    assert operator_of("restore", None, Secrets()) is None
    usual, given = (operator_of("server", where, Secrets()) for where in (None, home / "mine"))
    assert usual is not None
    assert given is not None
    own = usual.look(facts.empty("abcd1234"), "knox").own
    assert own is not None
    assert own.directory == str(home / "data" / "zrwizard" / "keys" / "knox")
    own = given.look(facts.empty("abcd1234"), "knox").own
    assert own is not None
    assert own.directory == str(home / "mine" / "knox")
    assert not (home / "mine").exists()


def test_keys_is_a_command_and_loads_nothing_for_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["keys", "list"]) == Exit.DONE
    assert "no keys" in capsys.readouterr().out
    code = "import sys, zrwizard.cli as c; c.main(['answers', 'server'])"
    said = f"{code}; print('cryptography' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", said], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"


# --- against a simulated computer -----------------------------------------------------------------


@pytest.fixture(scope="module")
def made() -> Rehearsal:
    pytest.importorskip("bashkit")
    return rehearse.machines("server", speed=200)


def server(home: Path, made: Rehearsal, *more: str) -> list[str]:
    path = home / "answers.toml"
    given = dict(rehearse.answers(made))
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items()))
    secrets = [f"--secret={name}-passphrase=env:ZR_TEST_WORD" for name in ("ca", "escrow")]
    return [
        "server",
        "--headless",
        "--console",
        made.url,
        "--answers",
        str(path),
        "--secret=console=env:ZR_TEST_CONSOLE",
        *secrets,
        *more,
    ]


def test_the_plan_in_every_form(
    home: Path,
    made: Rehearsal,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ZR_TEST_CONSOLE", made.scenario.root_password)
    assert main(server(home, made, "--plan", "json")) == Exit.DONE
    text = capsys.readouterr().out
    plan = from_json(text)
    assert from_json(plan.to_json()) == plan
    kinds = {type(step.action) for step in plan.steps}
    assert kinds >= {Local, Feed, Edit}
    assert main(server(home, made, "--plan", "sh")) == Exit.DONE
    script = home / "plan.sh"
    script.write_text(capsys.readouterr().out)
    lint(script)
    assert "ZR_GELI_KEY" in script.read_text()
    runbook = export.to_markdown(plan)
    assert "< KEYFILE" in runbook
    assert "```diff" in runbook
    assert "On your own machine:" in runbook
    assert not (home / "data").exists(), "a plan alone makes no keys"
    for kept in home.rglob("*"):
        if kept.is_file():
            assert b"a passphrase of five words" not in kept.read_bytes()


def test_a_rehearsals_console_never_touches_the_real_keys(
    home: Path,
    made: Rehearsal,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ZR_TEST_CONSOLE", made.scenario.root_password)
    argv = [word if word != made.url else "rehearsal://server" for word in server(home, made)]
    assert main([*argv, "--plan", "json", "--keys", str(home / "mine")]) == Exit.DONE
    plan = from_json(capsys.readouterr().out)
    first = next(step.action for step in plan.steps if isinstance(step.action, Local))
    assert str(home / "state") in first.text
    assert str(home / "mine") not in first.text
    assert not (home / "mine").exists()


def test_another_identity_is_refused(
    home: Path,
    made: Rehearsal,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ZR_TEST_CONSOLE", made.scenario.root_password)
    code = main([*server(home, made, "--confirm-erase", "another"), "--json"])
    finished = last(capsys.readouterr().out)
    assert code == finished["exit"] == Exit.REFUSED
    assert "'another' was given" in finished["summary"]
    assert not (home / "data").exists()


def test_a_passphrase_that_is_not_given_is_named(
    home: Path,
    made: Rehearsal,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ZR_TEST_CONSOLE", made.scenario.root_password)
    argv = [word for word in server(home, made) if "escrow-passphrase" not in word]
    assert main([*argv, "--json"]) == Exit.USAGE
    finished = last(capsys.readouterr().out)
    assert "escrow-passphrase" in finished["summary"]
    assert "--secret escrow-passphrase=file:PATH" in finished["now"]


def test_a_whole_set_up_by_rehearsal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its journal, transcript and report hold neither the geli key nor a passphrase."""
    pytest.importorskip("bashkit")
    code = main(["rehearse", "server", "--headless", "--json", "--seed", "3", "--speed", "200"])
    out = capsys.readouterr().out
    finished = last(out)
    assert code == finished["exit"] == Exit.DONE, finished
    assert "good backup server" in finished["summary"]
    assert "On your own machine" in Path(finished["report"]).read_text()
    keys = list(home.rglob("geli.key"))
    assert len(keys) == 1
    key = keys[0].read_bytes().strip()
    assert len(key) == 128
    forms = [key, *(base64.b64encode(key[shift:])[:60] for shift in range(3))]
    searched = 0
    for path in home.rglob("*"):
        if path.is_file() and path != keys[0]:
            data = path.read_bytes()
            searched += 1
            assert not [form for form in forms if form in data], path
    assert searched > 10
    assert key.decode() not in out
