"""The report after a run, as Markdown, made from the run's journal alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from zrwizard.report.document import Block, Bullets, Code, Rates, Section, Table, Timeline, document
from zrwizard.report.story import Story


def render(story: Story) -> str:
    """Return the report of the run that `story` tells of."""
    made = document(story)
    lead = "\n\n".join(made.lead)
    return "\n".join([f"# {made.title}\n\n{lead}\n", *map(_section, made.sections)])


def _section(section: Section) -> str:
    return f"## {section.title}\n\n" + "\n".join(filter(None, map(_block, section.blocks)))


def _block(block: Block) -> str:
    match block:
        case Table(head, rows):
            return "".join(map(_row, (head, ("---",) * len(head), *rows)))
        case Bullets(items):
            return "".join(f"* {_cell(item)}\n" for item in items)
        case Code(text, code):
            return f"* {text}\n\n{_fenced(code)}"
        case Timeline() | Rates():
            return ""
        case _:
            assert_never(block)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _fenced(code: str) -> str:
    fence = "```"
    while fence in code:
        fence += "`"
    return "".join(f"  {line}\n" for line in (f"{fence}sh", *code.split("\n"), fence))
