"""Answers files: read, refused with a hint, and the template that is one itself."""

from __future__ import annotations

import contextlib
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.toyflow import Toy
from zrwizard.answers import AnswersError, check, missing, read, template
from zrwizard.flows.moves import Answers, Key
from zrwizard.flows.restore import RESTORE
from zrwizard.flows.server import SERVER


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.toml"


def test_sections_become_dotted_keys(path: Path) -> None:
    path.write_text('[server]\nhost = "backup"\nport = 2223\n[target]\ndisk = "ZR"\n')
    given = read(path, Toy())
    assert dict(given) == {"server.host": "backup", "server.port": "2223", "target.disk": "ZR"}
    assert [key.name for key in missing(Toy(), given)] == ["server.host_key"]


def refusal(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(AnswersError) as caught:
        read(path, Toy())
    return f"{caught.value.what} {caught.value.now}"


def test_an_unknown_key_is_named_with_the_nearest(path: Path) -> None:
    said = refusal(path, '[server]\nhots = "x"\n')
    assert "server.hots" in said
    assert str(path) in said
    assert "Did you mean server.host?" in said


def test_an_unknown_section_is_named(path: Path) -> None:
    assert "Did you mean target.disk?" in refusal(path, '[where]\ndisk = "x"\n')
    assert "zzz.qqq" in refusal(path, "[zzz]\nqqq = 1\n")


@pytest.mark.parametrize("name", ["password", "passphrase", "Password", "secret", "private_key"])
def test_secrets_are_refused_with_advice(path: Path, name: str) -> None:
    said = refusal(path, f'[server]\n{name} = "hunter2"\n')
    assert "--secret" in said
    assert "hunter2" not in said


def test_bad_toml_has_its_line(path: Path) -> None:
    assert "line 3" in refusal(path, '[server]\nhost = "x"\nport = = 3\n')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xff\xfe", "UTF-8"),
        ('[server]\nhost = ["a"]\n', "server.host is neither"),
        ("[server]\nport = 2.5\n", "server.port is neither"),
    ],
)
def test_other_nonsense(path: Path, text: str | bytes, said: str) -> None:
    assert said in refusal(path, text)


def test_a_missing_file(path: Path) -> None:
    with pytest.raises(AnswersError, match="cannot be read: No such file"):
        read(path, Toy())


def test_the_template_is_an_answers_file() -> None:
    text = template(Toy())
    flat = tomllib.loads(text)
    assert flat["server"] == {"host": "backup", "host_key": "SHA256:abc"}
    assert flat["target"] == {"disk": "ZRDISK0001"}
    assert '# port = "22"' in text
    assert "# The server's name." in text
    everything = tomllib.loads(text.replace('# port = "22"', 'port = "22"'))
    assert everything["server"]["port"] == "22"


class Odd(Toy):
    keys = (Key("a.b", 'Quotes " and \\ and\nlines.', '"\\\x07é'),)


def test_the_template_quotes_what_it_must() -> None:
    assert tomllib.loads(template(Odd())) == {"a": {"b": '"\\\x07é'}}


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=4))
def test_any_table_is_taken_or_refused(given: dict[str, str]) -> None:
    with contextlib.suppress(AnswersError):
        assert isinstance(check(given, Toy(), "a file"), Answers)


def test_the_template_of_the_set_up_is_an_answers_file(path: Path) -> None:
    """Its keys of one section do not all follow one another."""
    text = template(SERVER)
    path.write_text(text)
    given = read(path, SERVER)
    assert {"server.name", "server.host", "target.disk"} <= set(given)
    assert not missing(SERVER, given)
    assert text.count("[server]") == 1
    for key in SERVER.keys:
        assert key.name.rpartition(".")[2] in text


def test_what_the_flow_proposes_is_not_missing() -> None:
    lacking = {key.name for key in missing(SERVER, Answers())}
    assert lacking == {"server.name", "target.disk"}


RESTORED = '[server]\nhost = "b"\nhost_key = "SHA256:x"\n[source]\n[target]\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('disks = ["SER1", "SER2"]', "SER1, SER2", id="list"),
        pytest.param('disks = "SER1, SER2"', "SER1, SER2", id="text"),
        pytest.param("disks = []", "none", id="empty"),
    ],
)
def test_several_disks_are_a_list(path: Path, text: str, expected: str) -> None:
    path.write_text(f'{RESTORED}{text}\nlayout = "mirror"\n')
    given = read(path, RESTORE)
    assert (given["target.disks"], given["target.layout"]) == (expected, "mirror")
    assert "target.disk" not in {key.name for key in missing(RESTORE, given)}


@pytest.mark.parametrize("text", ['disks = [["a"]]', 'layout = ["mirror"]', "disks = [1.5]"])
def test_lists_where_none_belong(path: Path, text: str) -> None:
    path.write_text(RESTORED + text + "\n")
    with pytest.raises(AnswersError, match="is neither a text"):
        read(path, RESTORE)


def test_one_disk_is_answered_as_before(path: Path) -> None:
    path.write_text(f'{RESTORED}disk = "SER1"\n')
    given = read(path, RESTORE)
    assert given["target.disk"] == "SER1"
    assert "target.disks" not in given
    assert "target.disk" in {key.name for key in missing(RESTORE, given.drop("target.disk"))}


def test_the_template_of_the_restore_shows_both_ways() -> None:
    text = template(RESTORE)
    tables = tomllib.loads(text)
    assert tables["target"] == {"disk": "ZRDISK0001"}
    example = next(line for line in text.splitlines() if line.startswith('# Such as ["ZRDISK0001'))
    listed = tomllib.loads(f"disks = {example.removeprefix('# Such as ').removesuffix('.')}")
    assert listed == {"disks": ["ZRDISK0001", "ZRDISK0002"]}
