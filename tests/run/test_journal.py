"""The journal: private, torn lines, found again, and never a secret in it."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zrwizard.plan import Command, Phase, Plan, Step
from zrwizard.run import journal, state
from zrwizard.run.events import Answered, Exit, Note, Progress
from zrwizard.run.journal import MAIN, Journal
from zrwizard.secrets import Secret, Secrets

URL = "telnet://h:1"
TOKEN = "abcd1234"


def plan(text: str = "true") -> Plan:
    return Plan("restore", "abcd1234", "Restore", (Step("a", Phase.DISK, "A", "b", Command(text)),))


def make(root: Path, token: str = TOKEN, secrets: Secrets | None = None) -> Journal:
    return Journal.create(root, token, console=URL, flow="restore", secrets=secrets or Secrets())


def begun(root: Path, token: str = TOKEN) -> Journal:
    one = make(root, token)
    one.answers({"target.disk": "ZR"})
    one.plan("network", plan("ifconfig"))
    one.plan(MAIN, plan())
    one.part(MAIN).begun("a")
    return one


def test_it_is_private(tmp_path: Path) -> None:
    one = begun(tmp_path / "state")
    one.close()
    assert one.path.stat().st_mode & 0o777 == 0o600
    for place in (one.directory, one.directory.parent, tmp_path / "state"):
        assert place.stat().st_mode & 0o777 == 0o700


def test_it_holds_what_a_continuation_wants(tmp_path: Path) -> None:
    begun(tmp_path).close()
    found = journal.find_unfinished(tmp_path, URL, "restore")
    assert found is not None
    assert found.plan == plan()
    assert found.preparations == (("network", plan("ifconfig")),)
    assert found.answers == {"target.disk": "ZR"}
    assert (found.token, found.begun, found.done) == ("abcd1234", {(MAIN, "a")}, frozenset())


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_torn_last_line_is_passed_over(tmp_path: Path, cut: int) -> None:
    one = begun(tmp_path)
    one.part(MAIN).done("a", skipped=False)
    one.close()
    data = one.path.read_bytes()
    one.path.write_bytes(data[:-cut])
    found = journal.load(one.path)
    assert found is not None
    assert found.begun == {(MAIN, "a")}
    again = Journal.reopen(tmp_path, found, Secrets())
    again.part(MAIN).done("a", skipped=True)
    again.close()
    last = journal.load(one.path)
    assert last is not None
    assert last.done == {(MAIN, "a")}
    assert again.part(MAIN).was_done("a")
    assert not again.part("network").was_begun("a")


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_any_bytes_are_some_journal_or_none(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as stream:
        stream.write(data)
        stream.flush()
        assert journal.load(Path(stream.name)) is None


def test_a_run_that_ended_well_is_over(tmp_path: Path) -> None:
    one = begun(tmp_path)
    one.end(Exit.DONE)
    one.close()
    assert journal.find_unfinished(tmp_path, URL, "restore") is None


@pytest.mark.parametrize("code", [Exit.FAILED, Exit.REFUSED, Exit.UNREACHABLE, Exit.INTERRUPTED])
def test_a_run_that_ended_badly_can_go_on(tmp_path: Path, code: Exit) -> None:
    one = begun(tmp_path)
    one.end(code)
    one.close()
    assert journal.find_unfinished(tmp_path, URL, "restore") is not None


def test_only_runs_whose_plan_was_begun_count(tmp_path: Path) -> None:
    one = make(tmp_path)
    one.plan(MAIN, plan())
    one.close()
    assert journal.find_unfinished(tmp_path, URL, "restore") is None


def test_other_consoles_and_flows_do_not_count(tmp_path: Path) -> None:
    begun(tmp_path).close()
    assert journal.find_unfinished(tmp_path, "telnet://h:2", "restore") is None
    assert journal.find_unfinished(tmp_path, URL, "backup") is None


def test_a_later_run_that_ended_well_hides_earlier_ones(tmp_path: Path) -> None:
    begun(tmp_path, "aaaa").close()
    time.sleep(0.01)
    later = begun(tmp_path, "bbbb")
    later.end(Exit.DONE)
    later.close()
    assert journal.find_unfinished(tmp_path, URL, "restore") is None


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(blacklist_categories=("Cs",)), min_size=4, max_size=20))
def test_no_secret_is_ever_in_it(value: str) -> None:
    # Letters of the journal's own words are no leak: a mark makes the secret a foreign one.
    value = f'\u2603{value}\u2603"\\'
    secrets = Secrets({"server": Secret("server", value)})
    with tempfile.TemporaryDirectory() as root:
        one = make(Path(root), secrets=secrets)
        one.answers({"a": value})
        one.plan(MAIN, plan(f"echo {value}"))
        one.event(Answered("a", "act", 1, f"it said {value}!", 0.1))
        one.event(Note(value))
        one.part(MAIN).failed("a", value)
        one.close()
        text = one.path.read_text()
    assert value not in text
    assert json.dumps(value)[1:-1] not in text
    assert json.dumps(value, ensure_ascii=False)[1:-1] not in text
    assert "<secret:server>" in text


def test_a_plan_that_had_to_be_masked_is_not_gone_on_with(tmp_path: Path) -> None:
    one = make(tmp_path, secrets=Secrets({"server": Secret("server", "zroot")}))
    one.plan(MAIN, plan("zpool create zroot"))
    one.part(MAIN).begun("a")
    one.close()
    assert journal.find_unfinished(tmp_path, URL, "restore") is None


def test_progress_is_thinned(tmp_path: Path) -> None:
    one = make(tmp_path)
    for _ in range(50):
        one.event(Progress("a", 1, 2, 3, 0.5, 1.0, 1.0, None, 0.0, "", 0, 1, 1.0))
    one.event(Progress("a", 2, 2, 3, 1.0, 1.0, 1.0, None, 0.0, "", 1, 1, 1.0))
    one.close()
    kept = [r for r in journal.read(one.path) if r["kind"] == "event"]
    assert len(kept) == 2


def test_where_runs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert state.default_state_dir({"XDG_STATE_HOME": "/x"}) == Path("/x/zrwizard")
    monkeypatch.setenv("HOME", str(tmp_path))
    home = tmp_path / ".local" / "state" / "zrwizard"
    assert state.default_state_dir({}) == home
    assert state.default_state_dir({"XDG_STATE_HOME": "relative"}) == home
