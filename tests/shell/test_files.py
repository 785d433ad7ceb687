"""Files both ways and streams, on a real pty with a real sh."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest
from noise import SHELLS, Exact, Faults, Host, open_session, session_on

from zrwizard.console.errors import Cancelled, NoAnswer, Refused
from zrwizard.secrets import Secret, Secrets
from zrwizard.shell import carry
from zrwizard.shell.bringup import Left
from zrwizard.shell.helpers import BLOCK

EVERY_BYTE = bytes(range(256)) * 150
KINDS = [kind for kind, (program, _) in SHELLS.items() if Path(program).exists()]


@pytest.fixture(params=KINDS)
def session(request, tmp_path):
    made, _ = open_session(request.param, token=f"f{os.getpid():x}", log=tmp_path / "log")
    yield made
    made.console.cancel = threading.Event()
    made.run(f"rm -rf {made.home}")
    made.close()


def test_a_file_goes_there_and_back_byte_for_byte(session, tmp_path):
    there, back = tmp_path / "there file", tmp_path / "back"
    passed: list[tuple[int, int]] = []
    session.upload(str(there), EVERY_BYTE, 0o640, done=lambda done, of: passed.append((done, of)))
    assert there.read_bytes() == EVERY_BYTE
    assert there.stat().st_mode & 0o777 == 0o640
    assert passed[0] == (0, len(EVERY_BYTE))
    assert passed[-1] == (len(EVERY_BYTE), len(EVERY_BYTE))
    assert len(passed) > 3
    assert passed == sorted(passed)
    passed.clear()
    session.download(str(there), back, done=lambda done, of: passed.append((done, of)))
    assert back.read_bytes() == EVERY_BYTE
    assert back.stat().st_mode & 0o777 == 0o600
    assert passed[-1] == (len(EVERY_BYTE), len(EVERY_BYTE))
    assert not list(tmp_path.glob("*.part"))
    assert not list(Path(session.home).glob("up-*"))


def test_nothing_and_one_byte(session, tmp_path):
    for data in (b"", b"\0"):
        session.upload(str(tmp_path / "small"), data)
        session.download(str(tmp_path / "small"), tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == data


def test_an_upload_that_was_stopped_goes_on_where_it_was(session, tmp_path):
    where = str(tmp_path / "file")

    def stop(done: int, _of: int) -> None:
        if done > 10_000:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        session.upload(where, EVERY_BYTE, done=stop)
    assert not Path(where).exists()
    passed: list[int] = []
    session.upload(where, EVERY_BYTE, done=lambda done, _: passed.append(done))
    assert passed[0] > 10_000
    assert Path(where).read_bytes() == EVERY_BYTE


def test_a_download_that_was_stopped_goes_on_where_it_was(session, tmp_path):
    source, to = tmp_path / "source", tmp_path / "to"
    source.write_bytes(EVERY_BYTE)

    def stop(done: int, _of: int) -> None:
        if done > 10_000:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        session.download(str(source), to, done=stop)
    assert not to.exists()
    kept = (tmp_path / "to.part").stat().st_size
    passed: list[int] = []
    session.download(str(source), to, done=lambda done, _: passed.append(done))
    assert passed[0] == kept // BLOCK * BLOCK > 0
    assert to.read_bytes() == EVERY_BYTE


def test_what_lies_there_of_something_else_is_not_gone_on_with(session, tmp_path):
    source, to = tmp_path / "source", tmp_path / "to"
    source.write_bytes(EVERY_BYTE)
    (tmp_path / "to.part").write_bytes(b"x" * 20_000)
    session.download(str(source), to)
    assert to.read_bytes() == EVERY_BYTE


def test_what_is_no_file_is_refused_by_name(session, tmp_path):
    for wrong in (tmp_path / "not there", tmp_path):
        with pytest.raises(Refused, match=str(wrong)):
            session.download(str(wrong), tmp_path / "to")
    with pytest.raises(Refused, match="no/such/dir"):
        session.upload(str(tmp_path / "no/such/dir/file"), b"data")
    assert session.run("echo on").text == "on\n"


def test_a_damaged_line_is_refused_without_what_was_in_it(session):
    """A lost byte glues a secret's part to the id before it; the refusal shows no more of it."""
    part = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0"
    frames = session._frames
    _, said = frames.ask(f"zp ab{part} 12", lambda kind, _: kind == b"N", tries=2)
    assert said == b"ab" + part.encode()[:6]


def test_what_a_secrets_broken_upload_left_is_removed_by_the_next_session(tmp_path):
    token = f"b{os.getpid():x}"
    session, _ = open_session(token=token, log=tmp_path / "log")
    left = Path(session.home) / f"up-{carry.UNNAMED}12345678"
    left.write_bytes(b"half a secret")
    # A picture that is no longer true: nothing answers ^U and ^L there, and it is forgotten.
    session.screen.feed(b"\r\n# half a line")
    session._establish(Left(token, session.answers_status))
    assert not left.exists()
    session.close()


def test_a_secret_that_is_uploaded_is_nowhere_else(tmp_path):
    secrets = Secrets()
    secret = Secret("key", "a-very-private-key " * 30)
    secrets.add(secret)
    log = tmp_path / "log"
    session, line = open_session(token=f"e{os.getpid():x}", log=log, secrets=secrets)
    # Somebody has switched the echo on again: the terminal shows the key in base64.
    line.send(b"stty echo\r")
    session.upload(str(tmp_path / "key"), secret)
    assert (tmp_path / "key").read_bytes() == secret.reveal()
    kept = Path(session.home)
    assert not [path for path in kept.rglob("up-*")]
    session.run(f"rm -rf {session.home}")
    session.close()
    said = log.read_text()
    assert "private" not in said
    assert "bytes are not shown" in said
    import base64

    encoded = base64.b64encode(secret.reveal()).decode()
    assert not [at for at in range(0, len(encoded) - 24, 8) if encoded[at : at + 24] in said]


@pytest.mark.parametrize("faults", [Faults(noise=0.005), Faults(lost=0.004), Faults(doubled=0.004)])
def test_files_over_a_line_that_lies(faults, tmp_path):
    session, _ = open_session(faults=faults, token=f"d{os.getpid():x}")
    session.upload(str(tmp_path / "file"), EVERY_BYTE[:20_000])
    session.download(str(tmp_path / "file"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == EVERY_BYTE[:20_000]
    session.run(f"rm -rf {session.home}")
    session.close()


# --- streams --------------------------------------------------------------------------------------


def test_a_stream_is_exact_and_has_a_status(session, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(EVERY_BYTE * 40)
    got = bytearray()
    result = session.stream(f"cat {source}; echo aside >&2; exit 9", got.extend)
    assert bytes(got) == EVERY_BYTE * 40
    assert (result.status, result.out, result.err) == (9, b"", b"aside\n")
    assert session.run("echo on").text == "on\n"


def test_a_stream_of_nothing(session):
    got = bytearray()
    assert session.stream("exit 3", got.extend).status == 3
    assert not got


def test_our_own_frames_in_a_stream_are_bytes_like_others(session):
    got = bytearray()
    forged = r"printf '\036Y1234\037\036E1234:000:255:0:0:0:0:0:1234\037\036X12\037\036'"
    assert session.stream(forged, got.extend).status == 0
    assert bytes(got) == (b"\x1eY1234\x1f\x1eE1234:000:255:0:0:0:0:0:1234\x1f\x1eX12\x1f\x1e")


def test_a_sink_that_takes_no_more_stops_the_command(session):
    class Full(Exception):
        pass

    def sink(_: bytes) -> None:
        raise Full

    with pytest.raises(Full):
        session.stream("yes", sink, timeout=60)
    assert session.run("echo on").text == "on\n"


def test_a_stream_that_was_damaged_is_an_error(tmp_path):
    session, _ = open_session(faults=Faults(noise=0.0005), token=f"c{os.getpid():x}")
    got = bytearray()
    with pytest.raises(NoAnswer, match="damaged"):
        session.stream("head -c 100000 /dev/zero", got.extend, timeout=60)
    assert session.run("echo on").text == "on\n"
    session.close()


def test_a_slow_line_is_not_asked_again_while_its_answer_still_comes():
    """Of 5,000 bytes at 9600 baud, which take seven seconds; noise makes a frame of some."""
    data = random.Random(4).randbytes(5000)
    host = Host(faults=Faults(rate=960))
    with session_on(host) as session:
        path = Path(session.home) / "slow"
        path.write_bytes(data)
        line = host.lines[-1]
        before = line.passed["out"]
        line.exact = Exact("out", 2500, lambda byte: b"\x1eE12345678\x1f" + byte)
        result = session.run(f"cat {path}", timeout=60)
        assert (result.status, result.out) == (0, data)
        # Twice the whole, as base64, at most: the first answer to its end, then its blocks again.
        assert line.passed["out"] - before < 2.5 * len(data) * 4 / 3
