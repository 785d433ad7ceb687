"""Every kind of question: what is shown, what reaches the wizard, back and forward."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from textual import events

from screens.style import Style
from zrwizard.flows.moves import Agree, Choose, ChooseMany, Enter, EnterSecret, Option
from zrwizard.plan import Problem
from zrwizard.secrets import Secret, Secrets
from zrwizard.wizard import Back

NIC = Choose(
    key="network.nic",
    page="network",
    title="Which network interface reaches the server?",
    help="The cable must be in this one.",
    options=(
        Option("lo0", "lo0", ("lo0", "-", "up"), "The loopback.", locked="it leads nowhere"),
        Option("vtnet0", "vtnet0", ("vtnet0", "58:9c:fc:00:00:01", "up"), "", recommended=True),
        Option("em0", "em0", ("em0", "58:9c:fc:00:00:02", "no carrier"), "No cable is in."),
    ),
    columns=("NAME", "MAC", "STATE"),
)
HOST = Enter("server.host", "source", "Backup server?", "Its name or address.", "", "192.0.2.9")
PORT = Enter("server.port", "source", "Which port?", "sshd's port.", "22")
PASSWORD = EnterSecret("server.password", "login", "Password of root?", "Typed once.", "server")
KEY = EnterSecret("server.key", "login", "Which key?", "For the server.", "key", from_file=True)
HOST_KEY = Agree(
    "server.host_key", "login", "Is this the server's key?", "Compare.", "SHA256:abcdef", "SHA256:a"
)


def test_choose_shows_columns_and_takes_the_proposed_row(drive: Any, talk: Any) -> None:
    replies: list[Any] = []

    async def story(d: Any) -> None:
        await d.see("Which network interface")
        await d.snapshot("choose")
        await d.press("enter")
        await d.see("[Report]")

    drive(talk(NIC, replies=replies), story)
    assert replies == ["vtnet0"]


def test_a_locked_row_says_why_and_is_not_taken(drive: Any, talk: Any) -> None:
    replies: list[Any] = []

    async def story(d: Any) -> None:
        await d.see("Which network interface")
        await d.press("up")
        await d.see("Cannot be chosen: it leads nowhere")
        await d.press("enter")
        await d.see("lo0 cannot be chosen: it leads nowhere")
        assert replies == []
        await d.press("j", "j")
        await d.see("No cable is in.")
        await d.press("enter")
        await d.see("[Report]")

    drive(talk(NIC, replies=replies), story)
    assert replies == ["em0"]


def test_enter_takes_text_and_an_empty_line_is_the_default(drive: Any, talk: Any) -> None:
    replies: list[Any] = []

    async def story(d: Any) -> None:
        await d.see("Backup server?")
        await d.snapshot("enter")
        await d.type("backup?bt")
        await d.press("enter")
        await d.see("Empty means: 22")
        await d.press("enter")
        await d.see("[Report]")

    drive(talk(HOST, PORT, replies=replies), story)
    assert replies == ["backup?bt", "22"]


def test_a_secret_is_neither_shown_nor_left_in_the_field(drive: Any, talk: Any) -> None:
    replies: list[Any] = []
    secrets = Secrets()

    async def story(d: Any) -> None:
        await d.see("nothing typed yet")
        await d.press("enter")
        await d.see("Nothing was typed yet.")
        await d.type("paß?qt")
        await d.press("backspace")
        await d.see("5 characters typed, not shown")
        assert "pa" not in d.rows[6]
        box = d.app.screen.query_one("#secret")
        await d.press("enter")
        assert not len(box)
        await d.see("[Report]")

    drive(talk(PASSWORD, replies=replies), story, secrets=secrets)
    assert replies == [Secret("server", "paß?q")]
    assert secrets.get("server") == replies[0]


def test_a_key_comes_from_a_private_file(drive: Any, talk: Any, tmp_path: Any) -> None:
    replies: list[Any] = []
    key = tmp_path / "id"
    key.write_text("-----KEY-----\n")
    key.chmod(0o644)

    async def story(d: Any) -> None:
        await d.see("Which key?")
        await d.type(str(key))
        await d.press("enter")
        await d.see("can be read by others")
        key.chmod(0o600)
        await d.press("enter")
        await d.see("[Report]")

    drive(talk(KEY, replies=replies), story)
    assert replies == [Secret("key", "-----KEY-----")]


def test_agreeing_needs_y_and_enter_does_nothing(drive: Any, talk: Any) -> None:
    replies: list[Any] = []

    async def story(d: Any) -> None:
        await d.see("SHA256:abcdef")
        await d.press("enter")
        await d.pilot.pause(0.3)
        assert replies == []
        await d.press("y")
        await d.see("[Report]")

    drive(talk(HOST_KEY, replies=replies), story)
    assert replies == ["SHA256:a"]


def test_not_agreeing_is_back(drive: Any, talk: Any) -> None:
    replies: list[Any] = []

    async def story(d: Any) -> None:
        await d.see("Which network")
        await d.press("enter")
        await d.see("SHA256:abcdef")
        await d.press("n")
        await d.see("[Report]")

    drive(talk(NIC, HOST_KEY, replies=replies), story)
    assert replies == ["vtnet0", Back()]


def test_back_offers_the_old_answer_and_forward_gives_it_again(drive: Any) -> None:
    replies: list[Any] = []

    def work(desk: Any) -> Any:
        for question in (HOST, PORT, HOST, PORT):
            replies.append(desk.ask(question, None))
        return desk.review

    def checked(desk: Any) -> Any:
        work(desk)
        from zrwizard.run.events import RunFinished

        return RunFinished(0, "done", "", "", 0.0)

    async def story(d: Any) -> None:
        await d.see("Backup server?")
        assert "forward" not in d.text
        await d.type("a")
        await d.press("enter")
        await d.see("Which port?")
        await d.press("escape")
        await d.see("Backup server?")
        await d.see("^n forward")
        assert d.app.screen.query_one("#text").value == "a"
        await d.press("ctrl+n")
        await d.see("Which port?")
        await d.press("enter")
        await d.see("[Report]")

    drive(checked, story)
    assert replies == ["a", Back(), "a", "22"]


def test_back_from_the_first_question_asks_for_the_console_again(drive: Any, talk: Any) -> None:
    replies: list[Any] = []

    async def story(d: Any) -> None:
        await d.see("Which network")
        first = d.app.desk
        await d.press("b")
        await d.see("where is the machine's console?")
        assert first.cancel.is_set()
        assert d.app.screen.query_one("#url").value == "telnet://127.0.0.1:4474"
        await d.press("escape")
        await d.see("What do you want to do?")

    drive(talk(NIC, replies=replies), story)
    assert replies == []


def test_a_problem_stands_above_the_question(drive: Any, done: Any) -> None:
    def work(desk: Any) -> Any:
        desk.ask(HOST, Problem("server.host", "backup did not answer.", "Check the cable."))
        return done

    async def story(d: Any) -> None:
        await d.see("backup did not answer. Check the cable.")

    drive(work, story)


@pytest.mark.parametrize("question", [NIC, HOST, PASSWORD, KEY, HOST_KEY])
def test_help_names_every_action_and_comes_back(drive: Any, talk: Any, question: Any) -> None:
    async def story(d: Any) -> None:
        await d.see(question.title)
        await d.press("ctrl+g")
        await d.see("Help:")
        await d.see(question.help)
        assert "Show or hide the traffic" in d.text
        await d.press("escape")
        await d.until(lambda: "Help:" not in d.text, "the page again")
        await d.press("f1")
        await d.see("Help:")

    drive(talk(question, replies=[]), story)


def test_many_rows_scroll_and_say_where_we_are(drive: Any, talk: Any) -> None:
    replies: list[Any] = []
    options = tuple(
        Option(f"s{n}", f"s{n}", (f"hostA@snap-{n:05}", "1.2G"), f"detail {n}") for n in range(3000)
    )
    question = Choose("source.snapshot", "source", "Which?", "h", options, ("SNAPSHOT", "USED"))

    async def story(d: Any) -> None:
        await d.see("1 of 3000")
        await d.press("end")
        await d.see("3000 of 3000")
        await d.see("detail 2999")
        await d.press("pageup", "up")
        await d.press("enter")
        await d.see("[Report]")

    drive(talk(question, replies=replies), story)
    assert replies[0].startswith("s29")


def test_keys_in_a_burst_keep_their_order(drive: Any, talk: Any) -> None:
    replies: list[Any] = []

    async def story(d: Any) -> None:
        await d.see("Backup server?")
        await d.until(lambda: d.app.screen.focused is not None, "the field")
        for key in ("a", "b", "backspace", "c", "ctrl+a", "x", "enter"):
            character = key if len(key) == 1 else None
            d.app.post_message(events.Key(key, character))
        await d.see("[Report]")

    drive(talk(HOST, replies=replies), story)
    assert replies == ["xac"]


DISKS = ChooseMany(
    key="target.disks",
    page="disks",
    title="Which disks are erased?",
    help="All of them.",
    options=(
        Option("cd0", "cd0", ("cd0", "-"), "", locked="it is an optical drive"),
        Option("S1", "vtbd0", ("vtbd0", "S1"), "Everything on it is erased: nothing."),
        Option("S2", "vtbd1", ("vtbd1", "S2"), "Everything on it is erased: a pool."),
        Option("typed", "One with an old pool", ("", "typed")),
    ),
    columns=("disk", "serial number"),
    least=2,
    alone=("typed",),
)
SPARES = replace(DISKS, key="target.spares", title="Is there a spare?", least=0, alone=())


@pytest.mark.parametrize("style", [Style.FULL, Style.CONSOLE], ids=["full", "console"])
def test_many_are_marked_with_space_in_their_order(drive: Any, talk: Any, style: Style) -> None:
    replies: list[Any] = []

    async def story(d: Any) -> None:
        await d.see("Which disks are erased?")
        await d.see("Marked: none")
        await d.press("enter")
        await d.see("Mark two rows at least, with Space.")
        await d.press("down", "space")
        await d.see("Marked: vtbd1")
        await d.press("up", "space")
        await d.see("Marked: vtbd1, vtbd0")
        await d.press("home", "space")
        await d.see("cd0 cannot be chosen: it is an optical drive")
        await d.press("down", "down", "space")
        await d.see("Marked: vtbd0")
        await d.press("space")
        await d.see("Marked: vtbd0, vtbd1")
        if style is Style.FULL:
            await d.snapshot("choose-many")
        await d.press("enter")
        await d.see("Is there a spare?")
        await d.press("enter")
        await d.see("[Report]")

    drive(talk(DISKS, SPARES, replies=replies), story, style=style)
    assert replies == ["S1, S2", "none"]


def test_a_row_that_stands_alone_is_an_answer(drive: Any, talk: Any) -> None:
    replies: list[Any] = []

    async def story(d: Any) -> None:
        await d.see("Which disks are erased?")
        await d.press("end", "space")
        await d.see("[Report]")

    drive(talk(DISKS, replies=replies), story)
    assert replies == ["typed"]


def test_marks_come_back_with_the_question(drive: Any, talk: Any) -> None:
    replies: list[Any] = []

    async def story(d: Any) -> None:
        await d.see("Which disks are erased?")
        await d.press("down", "space", "up", "space", "enter")
        # Only the page that comes the second time has an answer from before.
        await d.see("f forward")
        await d.see("Marked: vtbd1, vtbd0")
        await d.press("f")
        await d.see("[Report]")

    drive(talk(DISKS, DISKS, replies=replies), story)
    assert replies == ["S2, S1"] * 2
