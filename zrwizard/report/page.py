"""The report as one page of HTML, which needs nothing beside itself: no script, no font, no net."""

from __future__ import annotations

import re
from html import escape
from importlib import resources
from typing import assert_never

from zrwizard.report import plot
from zrwizard.report.document import (
    Block,
    Bullets,
    Code,
    Rates,
    Section,
    Table,
    Timeline,
    document,
)
from zrwizard.report.story import Story
from zrwizard.report.words import duration, size

_STYLE = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_MARKS = re.compile(r"`([^`\n]+)`|\*\*([^*\n]+)\*\*")


def render(story: Story) -> str:
    """Return the report of the run that `story` tells of; its texts are shown, and never obeyed."""
    made = document(story)
    title = _shown(made.title)
    lead = "".join(f"<p>{_marked(text)}</p>\n" for text in made.lead if text)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{title}</h1>\n{lead}{''.join(map(_section, made.sections))}"
        "</main>\n</body>\n</html>\n"
    )


def _section(section: Section) -> str:
    blocks = "".join(_block(block, section.title) for block in section.blocks)
    return f"<section>\n<h2>{_shown(section.title)}</h2>\n{blocks}</section>\n"


def _block(block: Block, title: str) -> str:
    match block:
        case Table():
            return _table(block, title)
        case Bullets(items):
            rows = "".join(f"<li>{_marked(item)}</li>\n" for item in items)
            return f"<ul>\n{rows}</ul>\n"
        case Code(text, code):
            return (
                f"<details>\n<summary>{_marked(text)}</summary>\n"
                f"<pre><code>{_shown(code)}</code></pre>\n</details>\n"
            )
        case Timeline():
            return _timeline(block)
        case Rates(points):
            return _rates(points)
        case _:
            assert_never(block)


def _table(table: Table, title: str) -> str:
    head = "".join(f'<th scope="col">{_marked(cell)}</th>' for cell in table.head)
    shown = f"<thead><tr>{head}</tr></thead>\n" if any(table.head) else ""
    rows = "".join(
        f"<tr>{''.join(f'<td>{_marked(cell)}</td>' for cell in row)}</tr>\n" for row in table.rows
    )
    label = escape(title)
    return f'<table aria-label="{label}">\n{shown}<tbody>\n{rows}</tbody>\n</table>\n'


def _timeline(line: Timeline) -> str:
    rows = []
    whole = line.whole or 1.0
    for bar in line.bars:
        left = bar.began / whole * plot.WIDTH
        # A moment is drawn as well.
        width = max(3.0, (bar.ended - bar.began) / whole * plot.WIDTH)
        failed = "" if bar.good else " failed"
        rows.append(
            f"<li><span>{_marked(bar.text)}</span> <span>{duration(bar.ended - bar.began)}</span>"
            f'<svg viewBox="0 0 {plot.WIDTH} 10" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="bar{failed}" x="{min(left, plot.WIDTH - width):.1f}" y="0" '
            f'width="{width:.1f}" height="10"/></svg></li>\n'
        )
    return (
        f'<figure>\n<ul class="times">\n{"".join(rows)}</ul>\n'
        f"<figcaption>The longer steps, one after the other, of {duration(line.whole)} of work."
        "</figcaption>\n</figure>\n"
    )


def _rates(points: plot.Counts) -> str:
    curve = plot.curve(points)
    if curve is None:
        return ""
    stood = "".join(
        f'<rect class="stood" x="{left:.1f}" y="0" width="{width:.1f}" height="{plot.HEIGHT}"/>'
        for left, width in curve.stood
    )
    marked = " Where nothing came it is marked." if stood else ""
    top, seconds = f"{size(curve.top)}/s", duration(curve.seconds)
    return (
        f'<figure>\n<div class="rates">\n<div class="scale up"><span>{top}</span><span>0</span>'
        f'</div>\n<svg viewBox="0 0 {plot.WIDTH} {plot.HEIGHT}" preserveAspectRatio="none" '
        'role="img">'
        f"<title>Bytes a second over the transfer</title>"
        f"<desc>At most {top}, over {seconds}.</desc>"
        f'{stood}<path class="under" d="{curve.under}"/><path class="curve" d="{curve.line}"/>'
        f'</svg>\n<div class="scale on"><span>0 s</span><span>{seconds}</span></div>\n</div>\n'
        f"<figcaption>Bytes a second over the transfer.{marked}</figcaption>\n</figure>\n"
    )


def _marked(text: str) -> str:
    """Return a text of the document with its marks as tags, and all else harmless."""
    parts, at = [], 0
    for mark in _MARKS.finditer(text):
        code, strong = mark.groups()
        tag, inner = ("code", code) if code is not None else ("strong", strong)
        parts += [_shown(text[at : mark.start()]), f"<{tag}>{_shown(inner)}</{tag}>"]
        at = mark.end()
    return "".join([*parts, _shown(text[at:])])


def _shown(text: str) -> str:
    """Return `text` escaped; what cannot be seen, or turns text around, is shown as its code."""
    seen = "".join(
        char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in text
    )
    return escape(seen)
