"""No secret is in anything that is written: state directory, output, report, crash file."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests import toyflow
from zrwizard.run.events import Answered, Note, StepFailed
from zrwizard.run.telling import redact_event
from zrwizard.secrets import Secret, Secrets

VALUE = 'tr0ub4dor "and" \\ é'


def written(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("right", [True, False])
def test_nothing_of_it_is_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    right: bool,
) -> None:
    (tmp_path / "password").write_text(VALUE if right else "other")
    (tmp_path / "go").touch()
    # The target tells the password on purpose: in what it prints, and where a proof fails.
    told = toyflow.PROMPT.replace("echo;", "echo; printf 'you said %s\\n' \"$p\";")
    monkeypatch.setattr(toyflow, "PROMPT", told)
    code = toyflow.main(tmp_path, "ZRDISK0001", VALUE)
    assert code == (0 if right else 1)
    (tmp_path / "password").unlink()
    out, err = capsys.readouterr()
    assert "you said <secret:server>" in out
    forms = {
        VALUE,
        json.dumps(VALUE)[1:-1],
        json.dumps(VALUE, ensure_ascii=False)[1:-1],
        base64.b64encode(VALUE.encode()).decode(),
    }
    for form in forms:
        assert form not in out + err
        for path, data in written(tmp_path).items():
            assert form.encode() not in data, path


def test_events_are_masked() -> None:
    secrets = Secrets({"server": Secret("server", VALUE)})
    for event in (
        Answered("a", "act", 0, f"x{VALUE}x", 0.0),
        Note(VALUE),
        StepFailed("a", VALUE, VALUE),
    ):
        assert VALUE not in str(redact_event(event, secrets))


def test_an_event_without_a_secret_is_the_same_object() -> None:
    event = Note("nothing")
    assert redact_event(event, Secrets()) is event
