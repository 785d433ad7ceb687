"""The console style draws ASCII only; the style is chosen by the terminal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from screens.commands import COMMON, key_name
from screens.style import Style, printable, to_ascii
from screens.widgets.lines import Row, wrap
from screens.widgets.meter import bar, spark
from zrwizard.app import pick
from zrwizard.flows.moves import Choose, Option


@pytest.mark.parametrize(
    ("wanted", "term", "tty", "style"),
    [
        ("auto", "xterm-256color", "/dev/pts/3", Style.FULL),
        ("auto", "xterm", "/dev/ttyv0", Style.CONSOLE),
        ("auto", "vt100", "/dev/pts/3", Style.CONSOLE),
        ("auto", "vt220", "", Style.CONSOLE),
        ("auto", "cons25", "", Style.CONSOLE),
        ("auto", "linux", "/dev/tty1", Style.CONSOLE),
        ("auto", "xterm", "/dev/ttyu0", Style.CONSOLE),
        ("full", "vt100", "", Style.FULL),
        ("console", "xterm", "", Style.CONSOLE),
    ],
)
def test_pick(wanted: str, term: str, tty: str, style: Style) -> None:
    assert pick(wanted, term, tty) == style


@given(st.text())
def test_ascii_keeps_the_width(text: str) -> None:
    assert to_ascii(text).isascii()
    assert cell_len(to_ascii(text)) == sum(cell_len(c) for c in text)


@given(st.text())
def test_machine_text_cannot_move_the_cursor(text: str) -> None:
    assert not any(ord(c) < 32 and c != "\n" for c in printable(text))


PLAIN = st.text(alphabet=st.characters(codec="ascii", exclude_categories=["Cc"]))


@given(PLAIN, st.integers(20, 90))
@example(" " + 27 * "0", 27)
@example(30 * " " + "x y", 20)
def test_wrapping_loses_no_word(text: str, width: int) -> None:
    rows = wrap(Row(text), width)
    assert all(len(row.text) <= width for row in rows)
    assert "".join("".join(row.text for row in rows).split()) == "".join(text.split())


def test_bars() -> None:
    assert bar(0.5, 10, plain=True) == "#####....."
    assert bar(None, 4, plain=True) == "...."
    assert bar(7.0, 4, plain=False) == "████"
    assert spark((0.0, 1.0, 2.0), 5, plain=True) == "   =@"
    assert spark((), 3, plain=False) == "   "
    assert spark((1.0, None, 0.0, 1.0), 5, plain=True) == " @x @"
    assert spark((None, None), 3, plain=False) == " xx"


def test_every_action_has_a_key_that_any_terminal_can_send() -> None:
    for command in COMMON:
        assert any(not key.startswith("f") or len(key) == 1 for key in command.keys)
        assert command.help
        assert command.title
    assert key_name("ctrl+o") == "^o"


def test_console_style_is_ascii_on_every_page(drive: Any, plan: Any, tmp_path: Any) -> None:
    import threading

    from zrwizard.run.events import Progress, RunFinished, RunStarted, StepStarted

    report = tmp_path / "r.md"
    report.write_text("# Bericht – fertig\n")
    cells = ("größer", "日本", "— up…")
    odd = Option("a", "größer", cells, "“detail” · \x1b[31m", recommended=True)
    pages: list[str] = []
    go = threading.Event()

    def work(desk: Any) -> Any:
        desk.ask(Choose("k", "network", "Welche — “Karte”?", "é", (odd,), ("A", "B", "C")), None)
        desk.review(plan)
        desk.emit(RunStarted(plan.title, 4, False))
        desk.emit(StepStarted("pull", "transfer", "Pull", "why", "changes", 3, 4))
        desk.emit(Progress("pull", 5, 10, 5, 0.5, 1.0, 1.0, 9.0, 0.0, "zroot/ü", 1, 2, 3.0, (1.0,)))
        go.wait(10)
        return RunFinished(0, "Fertig — gut.", "", str(report), 1.0)

    async def story(d: Any) -> None:
        async def keep(name: str) -> None:
            assert d.text.isascii(), d.text
            pages.append(name)
            if name in {"help", "quit"}:
                return
            page = d.app.screen
            await d.press("ctrl+g")
            await d.see("Help: ")
            assert d.text.isascii(), d.text
            assert " ".join(page.about.split())[:40].isascii() or name == "question"
            await d.press("escape")
            await d.until(lambda: d.app.screen is page, "the page again")

        await d.see("Welche -")
        await keep("question")
        await d.snapshot("choose-console")
        await d.press("?")
        await d.see("Help:")
        await keep("help")
        await d.press("escape")
        await d.press("enter")
        await d.see("[Review]")
        await keep("review")
        await d.press("q")
        await d.see("Leave the wizard?")
        await keep("quit")
        await d.press("n")
        await d.see("[Review]")
        await d.press("c", *"ZRDISK0001")
        await d.see("ZRDISK0001 and press")
        await keep("confirm")
        await d.press("enter")
        await d.see("50 %")
        await keep("run")
        await d.snapshot("run-console")
        await d.press("t")
        await d.see("newest last")
        await keep("traffic")
        go.set()
        await d.see("[Report]")
        await keep("report")
        await d.press("h")
        await d.see("What do you want to do?")
        await keep("home")
        await d.press("enter")
        await d.see("where is the machine's console?")
        await keep("connect")

    drive(work, story, style=Style.CONSOLE)
    assert len(pages) == 10
