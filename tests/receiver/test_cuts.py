"""Whatever is killed or broken, and whenever: nothing stays attached, imported or marked."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.receiver.cases import Cases, Make, Outcome
from tests.receiver.server import SHELLS, Server, Session, until

CASES = Cases()


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


# --- how far it had come --------------------------------------------------------------------------

Scene = tuple[Session, int]
"""The session that is cut, and the tool that works for it just then (0: none)."""


def waiting(server: Server, *, parent: bool) -> Scene:
    session = server.session("receive", "hold", parent=parent)
    until(lambda: any((server.run / m / "open/want").exists() for m in server.marks), "the wait")
    return session, 0


def attaching(server: Server, *, parent: bool) -> Scene:
    server.mode("attach_slow")
    session = server.session("receive", "hold", parent=parent)
    server.deliver()
    return session, server.stage("attach_slow")


def importing(server: Server, *, parent: bool) -> Scene:
    server.mode("import_slow")
    session = server.session("receive", "hold", parent=parent)
    server.deliver()
    return session, server.stage("import_slow")


def just_imported(server: Server, *, parent: bool) -> Scene:
    """The pool is there, and zpool has not come back yet."""
    server.mode("import_late")
    session = server.session("receive", "hold", parent=parent)
    server.deliver()
    return session, server.stage("import_late")


def ready(server: Server, *, parent: bool) -> Scene:
    return server.opened(parent=parent), 0


def receiving(server: Server, *, parent: bool) -> Scene:
    session = server.opened("receive data", parent=parent)
    session.send(b"a\nb\n")
    until(lambda: _text(server, "received") == "a\nb\n", "the stream's beginning")
    return session, int(_text(server, "receiving"))


def receiving_inside(server: Server, *, parent: bool) -> Scene:
    """The hold is what is cut; the receive belongs to another session."""
    hold = server.opened(parent=parent)
    stream = server.session("receive", "receive data")
    stream.send(b"a\nb\n")
    until(lambda: _text(server, "received") == "a\nb\n", "the stream's beginning")
    return hold, int(_text(server, "receiving"))


def closing(server: Server, *, parent: bool) -> Scene:
    """The orderly end is under way, and the pool is busy twice."""
    server.mode("export_busy", 2)
    session = server.opened(parent=parent)
    session.end()
    until(lambda: any("export" in call for call in server.calls("zpool")), "the export")
    return session, 0


def _text(server: Server, name: str) -> str:
    with contextlib.suppress(FileNotFoundError):
        return (server.world / name).read_text()
    return ""


# --- what happens to it ---------------------------------------------------------------------------


def main_killed(server: Server, session: Session, tool: int) -> None:
    kill(server.main(session))


def main_ended(server: Server, session: Session, tool: int) -> None:
    kill(server.main(session), signal.SIGTERM)


def main_hung_up(server: Server, session: Session, tool: int) -> None:
    kill(server.main(session), signal.SIGHUP)


def worker_killed(server: Server, session: Session, tool: int) -> None:
    kill(server.worker(session))


def parent_killed(server: Server, session: Session, tool: int) -> None:
    """As sshd goes: its child's pipes break, and nobody tells the child."""
    kill(session.process.pid)
    session.process.wait()
    session.end()
    session.deafen()


def tool_killed(server: Server, session: Session, tool: int) -> None:
    assert tool
    kill(tool)


def tool_ended(server: Server, session: Session, tool: int) -> None:
    assert tool
    kill(tool, signal.SIGTERM)


def line_broken(server: Server, session: Session, tool: int) -> None:
    """Its standard input ends, and what it says meets a closed pipe."""
    session.end()
    session.deafen()
    if not any((server.run / m / "open/want/by").is_symlink() for m in server.marks):
        server.deliver()


def input_ended(server: Server, session: Session, tool: int) -> None:
    session.end()


def deliverer_killed(server: Server, session: Session, tool: int) -> None:
    for pid in server.processes("knox deliver"):
        kill(pid)


def guardian_first(server: Server, session: Session, tool: int) -> None:
    """The guardian, and only then the main process: the next session has to clean up."""
    kill(server.guardian(session))
    kill(server.main(session))
    _next_cleans(server)


def all_at_once(server: Server, session: Session, tool: int) -> None:
    """Everything of the session, its guardian and its tools; the kernel keeps what is attached."""
    for _ in range(3):
        for pid in server.processes():
            kill(pid)
    _next_cleans(server)


def _next_cleans(server: Server) -> None:
    for word in ("attach_slow", "import_slow", "import_late"):
        (server.world / "mode" / word).unlink(missing_ok=True)
    until(lambda: not server.processes("knox deliver"), "the delivery's end")
    following = server.opened()
    following.end()
    assert following.finish() == 0, following.said
    assert following.printed == "ready\nclosed\n"


Stage = Callable[..., Scene]
Blow = Callable[[Server, Session, int], None]
TABLE: dict[Stage, tuple[Blow, ...]] = {
    waiting: (main_killed, main_ended, worker_killed, parent_killed, line_broken, guardian_first),
    attaching: (
        *(main_killed, main_ended, worker_killed, tool_killed, tool_ended, deliverer_killed),
        *(guardian_first, all_at_once),
    ),
    importing: (main_killed, main_hung_up, worker_killed, tool_killed, all_at_once),
    just_imported: (main_killed, worker_killed, tool_killed, guardian_first),
    ready: (
        *(main_killed, main_ended, main_hung_up, worker_killed, parent_killed, line_broken),
        *(guardian_first, all_at_once),
    ),
    receiving: (
        *(main_killed, main_ended, worker_killed, parent_killed, tool_killed, tool_ended),
        *(input_ended, line_broken, guardian_first, all_at_once),
    ),
    receiving_inside: (main_killed, worker_killed, input_ended, guardian_first),
    closing: (main_killed, parent_killed, guardian_first),
}


def cut(stage: Stage, blow: Blow, delivery: str, make: Make, shell: str) -> None:
    server = make(shell, delivery=delivery)
    session, tool = stage(server, parent=blow is parent_killed)
    blow(server, session, tool)
    server.stays_shut()
    assert not (server.world / "receiving").exists() or not _alive(_text(server, "receiving"))
    if blow is not main_killed:
        return
    # And it can begin again at once.
    for path in (server.world / "mode").iterdir():
        path.unlink()
    following = server.opened()
    following.end()
    assert following.finish() == 0, following.said
    assert server.shut


def _alive(pid: str) -> bool:
    return bool(pid.strip()) and os.path.exists(f"/proc/{pid.strip()}")


def _all() -> Iterator[tuple[str, Stage, Blow, str]]:
    for stage, blows in TABLE.items():
        for number, blow in enumerate(blows):
            ways = ["stdin", "fifo"] if stage is attaching else [("stdin", "fifo")[number % 2]]
            for way in ways:
                yield f"{stage.__name__}-{blow.__name__}-{way}", stage, blow, way


for _name, _stage, _blow, _way in _all():
    for _shell in sorted(SHELLS) if _blow is main_killed else [""]:
        CASES.add(_name, partial(cut, _stage, _blow, _way), _shell)


def test_there_are_enough() -> None:
    assert len(CASES.names) >= 20 * len(SHELLS)


@pytest.mark.parametrize("case", CASES.names)
def test_cut(outcome: Outcome, case: str) -> None:
    outcome(case)
