"""The report as a page: what it says, and what a real browser makes of it."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report import browser
from tests.toyflow import main_plan
from zrwizard.facts import empty
from zrwizard.report import markdown, page, plot
from zrwizard.report.document import Timeline, document
from zrwizard.report.story import Story, tell
from zrwizard.run.events import Exit, Note, Progress, RunFinished, StepDone, StepFailed, to_dict
from zrwizard.run.journal import MAIN

HOSTILE = "<script>alert(1)</script> & \"quoted\" 'so' \x1b[31m \u202ebackwards `a <b>` "
HOSTILE += "x" * 300
WIDTHS = (360, 800, 1280)


def story(*, stalls: bool = True, code: Exit = Exit.DONE) -> Story:
    """A run of half an hour with a hostile note, a failed step, and a stall."""
    plan = main_plan(empty("abcd1234")).to_json()
    records: list[dict[str, Any]] = [
        {"at": 1000.0, "kind": "opened", "token": "abcd1234", "console": HOSTILE},
        {"at": 1000.0, "kind": "answers", "answers": {"source.dataset": HOSTILE}},
        {"at": 1000.0, "kind": "plan", "part": MAIN, "plan": plan},
    ]

    def event(at: float, what: Any) -> None:
        records.append({"at": at, "kind": "event", "what": to_dict(what)})

    records.append(
        {"at": 1001.0, "kind": "event", "what": {"event": "StepStarted", "step": "wipe"}}
    )
    event(1031.0, StepDone("wipe", 30.0, False))
    records.append(
        {"at": 1031.0, "kind": "event", "what": {"event": "StepStarted", "step": "pull"}}
    )
    came = 0
    for second in range(0, 1800, 6):
        came += 0 if stalls and 600 <= second < 720 else 6 * (20 << 20)
        event(
            1031.0 + second,
            Progress("pull", came, 40 << 30, came, 0.5, 1.0, 2e7, 9.0, 0.0, "", 3, 17, 60.0),
        )
    event(2900.0, Note(HOSTILE, "warning"))
    event(2901.0, StepFailed("pull", HOSTILE, "Look."))
    event(2902.0, RunFinished(code, HOSTILE, HOSTILE, "/r", 1902.0))
    return tell(json.loads(json.dumps(records)))


class _Tags(HTMLParser):
    """The tags of a page; every one that is opened is closed, but for those that are empty."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= set(attrs)
        if tag not in {"meta"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= set(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_whatever_stands_in_a_run_is_shown_and_not_obeyed() -> None:
    text = page.render(story())
    tags = _Tags()
    tags.feed(text)
    assert tags.open == []
    assert not tags.seen & {"script", "img", "link", "iframe", "object", "form", "a", "b"}
    assert not [name for name, _ in tags.attributes if name.startswith("on") or name == "href"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp;" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[31m \\x202ebackwards" in text
    assert not re.search(r"https?:|url\(|@import|src=", text)


@settings(deadline=None)
@given(st.text())
def test_any_text_stays_text(text: str) -> None:
    made = Story(head={"console": text, "token": text}, notes=[text], end={"summary": text})
    tags = _Tags()
    tags.feed(page.render(made))
    assert tags.open == []
    assert not tags.seen & {"script", "img", "a"}


def test_both_forms_say_the_same() -> None:
    made = story()
    shown, written = page.render(made), markdown.render(made)
    heads = re.findall(r"^## (.+)$", written, re.MULTILINE)
    assert re.findall(r"<h2>(.+)</h2>", shown) == heads
    for said in ("Wipe vtbd0", "3 of 17 streams", "not begun", "Where the time went"):
        assert said in shown
        assert said in written


def test_the_curve_has_its_stall() -> None:
    text = page.render(story())
    assert text.count('class="stood"') == 1
    assert "Where nothing came it is marked." in text
    assert 'class="stood"' not in page.render(story(stalls=False))
    assert "At most 20.0 MiB/s, over 29 min 54 s." in text


def test_the_time_between_two_tries_is_nobodys() -> None:
    def event(at: float, kind: str, **more: Any) -> dict[str, Any]:
        return {"at": at, "kind": "event", "what": {"event": kind, **more}}

    records = [
        {"at": 0.0, "kind": "opened", "token": "abcd1234"},
        {"at": 0.0, "kind": "plan", "part": MAIN, "plan": main_plan(empty("abcd1234")).to_json()},
        event(10.0, "StepStarted", step="wipe"),
        event(40.0, "StepDone", step="wipe", seconds=30.0, skipped=False),
        event(40.0, "StepStarted", step="pull"),
        event(70.0, "Note", text="the last that was heard", level="info"),
        {"at": 40_000.0, "kind": "reopened"},
        event(40_010.0, "StepStarted", step="pull"),
        event(40_050.0, "StepDone", step="pull", seconds=40.0, skipped=False),
    ]
    made = document(tell(records))
    (line,) = (b for section in made.sections for b in section.blocks if isinstance(b, Timeline))
    assert line.whole == 100.0
    spans = [(bar.began, bar.ended, bar.good) for bar in line.bars]
    assert spans == [(0.0, 30.0, True), (30.0, 60.0, False), (60.0, 100.0, True)]


def test_a_mask_is_text_of_the_page() -> None:
    """What the journal masked looks like a tag."""
    made = Story(notes=["ssh said <secret:server> and went"])
    assert "ssh said &lt;secret:server&gt; and went" in page.render(made)


def test_a_long_transfer_has_no_more_points_than_can_be_seen() -> None:
    made = plot.curve([(float(second), second * 1000) for second in range(100_000)])
    assert made is not None
    assert len(made.steps) < plot.MOST
    assert made.seconds == 99_999
    assert {round(rate) for _, _, rate in made.steps} == {1000}


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 2**60)), max_size=50))
def test_a_curve_stays_inside_its_frame(counts: list[tuple[float, int]]) -> None:
    made = plot.curve(sorted(counts))
    if made is None:
        return
    assert all(0 <= rate <= made.top for _, _, rate in made.steps)
    assert all(end <= begin for (_, end, _), (begin, _, _) in pairwise(made.steps))
    numbers = [float(n) for n in re.findall(r"-?[\d.]+(?:e[-+]\d+)?", made.line)]
    assert all(-0.1 <= x <= plot.WIDTH + 0.1 for x in numbers[::2])
    assert all(-0.1 <= y <= plot.HEIGHT + 0.1 for y in numbers[1::2])


@pytest.mark.parametrize("counts", [[], [(0.0, 5)], [(0.0, 5), (9.0, 5)], [(0.0, 5), (9.0, 1)]])
def test_no_curve_of_nothing(counts: list[tuple[float, int]]) -> None:
    assert plot.curve(counts) is None


# --- in a browser -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a rehearsed restore, as the command leaves it."""
    where = tmp_path_factory.mktemp("state")
    words = [sys.executable, "-m", "zrwizard", "rehearse", "restore", "--headless", "--json"]
    done = subprocess.run(
        words,
        env={"XDG_STATE_HOME": str(where), "PATH": "/usr/bin:/bin", "HOME": str(where)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert Path(last["page"]).parent == Path(last["report"]).parent
    return Path(last["page"])


def test_the_page_lies_beside_the_report_and_is_the_operators_own(rehearsed: Path) -> None:
    assert stat.S_IMODE(rehearsed.stat().st_mode) == 0o600
    assert "Restore hostA@2025-08-08-deep" in rehearsed.read_text()
    assert "gpart create -s gpt vtbd0" in rehearsed.read_text()
    # The rehearsal's password is no secret, but is given and masked like one.
    assert ">rehearse<" not in rehearsed.read_text()


@pytest.fixture(params=["rehearsed", "hostile"])
def looked_at(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A page in a directory of its own."""
    file = tmp_path / "report.html"
    text = (
        request.getfixturevalue("rehearsed").read_text()
        if request.param == "rehearsed"
        else page.render(story())
    )
    file.write_text(text)
    return file


def test_a_browser_has_nothing_to_complain_of(looked_at: Path) -> None:
    browser.need()
    assert browser.complaints(looked_at) == []
    # What it would say to a page that breaks its own policy.
    broken = looked_at.with_name("broken.html")
    broken.write_text(looked_at.read_text().replace("</main>", "<script>1</script></main>"))
    assert "Content Security Policy" in "".join(browser.complaints(broken))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_browser_shows_all_of_it(looked_at: Path, width: int) -> None:
    found = browser.measure(looked_at, width)
    assert found["wide"] == found["scroll"] == width
    assert found["outside"] == []
    assert found["requests"] == []
    assert found["scripts"] == 1, "a script of the page's own ran"
    assert all(wide > 200 and high > 20 for wide, high in found["tables"])
    assert found["bars"]
    assert all(wide >= 1 and high >= 5 for wide, high in found["bars"])
    if "alert(1)" in found["text"]:
        assert len(found["plots"]) == len(found["curves"]) == 1
    for box in (*found["plots"], *found["curves"]):
        assert box[0] > width * 0.4
        assert box[1] > 100 or box in found["curves"]
    assert "What was proven" in found["text"] or "alert(1)" in found["text"]


def test_all_of_it_is_printed(rehearsed: Path, tmp_path: Path) -> None:
    """On paper nothing can be opened."""
    browser.need()
    file = tmp_path / "report.html"
    file.write_text(rehearsed.read_text())
    said = browser.printed(file)
    assert "gpart create -s gpt vtbd0" in said
    assert "What to do next" in said


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_shows_it_readably(looked_at: Path, dark: bool) -> None:
    found = browser.measure(looked_at, 800, dark=dark)
    assert found["dark"] is dark
    assert found["texts"] > 20
    assert found["faint"] == []
