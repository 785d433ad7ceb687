"""The transcript masks secrets however they arrive, and can be played."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zrwizard.console.transcript import Transcript
from zrwizard.secrets import Secret, Secrets

WORD = "corr3ct-horse"


def written(tmp_path, pieces):
    path = tmp_path / "t.cast"
    path.unlink(missing_ok=True)
    secrets = Secrets()
    secrets.add(Secret("server", WORD))
    transcript = Transcript(path, secrets, "test")
    for piece in pieces:
        transcript.output(piece)
    transcript.close()
    return path


@given(st.lists(st.integers(0, 40), max_size=12))
@settings(max_examples=60)
def test_a_secret_split_anywhere_is_masked(tmp_path_factory, cuts):
    data = b"before " + WORD.encode() + b" after corr3 " + WORD.encode() + b"\r\n"
    pieces, last = [], 0
    for cut in sorted(cuts):
        pieces.append(data[last:cut])
        last = max(last, cut)
    path = written(tmp_path_factory.mktemp("t"), [*pieces, data[last:]])
    text = "".join(json.loads(line)[2] for line in path.read_text().splitlines()[1:])
    assert WORD not in path.read_text()
    assert text == "before <secret:server> after corr3 <secret:server>\r\n"


def test_the_file_is_private_and_plays_as_asciicast(tmp_path):
    path = written(tmp_path, [b"hello\r\n", b"\xc3", b"\xa9"])
    assert path.stat().st_mode & 0o777 == 0o600
    header, *events = [json.loads(line) for line in path.read_text().splitlines()]
    assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
    assert all(kind == "o" and at >= 0 for at, kind, _ in events)
    assert "".join(text for _, _, text in events) == "hello\r\né"


def test_what_an_echo_may_hold_is_kept_out_until_the_shell_has_answered(tmp_path):
    """A shell that swallowed lines complains of them later, with all that stood in them."""
    path = tmp_path / "log"
    transcript = Transcript(path, Secrets(), "test")

    def upload() -> None:
        with transcript.withheld("<secret:key>"):
            transcript.output(b"echo of c2VjcmV0")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - one of our own
        upload()
    transcript.output(b"sh: syntax error: c2VjcmV0")
    transcript.answered()
    transcript.output(b"shown again")
    transcript.answered()
    transcript.close()
    text = path.read_text()
    assert "c2VjcmV0" not in text
    assert "shown again" in text
    assert text.count("bytes are not shown: <secret:key>") == 1
    assert "42 bytes" in text
