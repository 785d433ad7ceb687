"""A real Chromium that opens a page once and says what it measured, or what it complained of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
PAPER = shutil.which("pdftotext")
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--hide-scrollbars", "--no-first-run"),
)
_OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND"
_MEASURE = """
const luminance = color => {
  const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(Number).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = node => {
  for (; node; node = node.parentElement) {
    const color = getComputedStyle(node).backgroundColor;
    if (color !== 'rgba(0, 0, 0, 0)') return color;
  }
  return 'rgb(255, 255, 255)';
};
const measured = () => {
  document.querySelectorAll('details').forEach(one => { one.open = true; });
  const wide = document.documentElement.clientWidth;
  const faint = [], outside = [];
  let texts = 0;
  for (const node of document.querySelectorAll('main *')) {
    const box = node.getBoundingClientRect();
    if (box.width && (box.left < 0 || box.right > wide + 0.5)) outside.push(node.outerHTML);
    const own = [...node.childNodes].some(c => c.nodeType === 3 && c.textContent.trim());
    if (!own || node.closest('svg')) continue;
    texts += 1;
    const [a, b] = [luminance(getComputedStyle(node).color), luminance(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push([ratio, node.textContent.slice(0, 40)]);
  }
  const boxes = kind => [...document.querySelectorAll(kind)].map(node => {
    const box = node.getBoundingClientRect();
    return [Math.round(box.width), Math.round(box.height)];
  });
  return {
    wide, texts, faint, outside: outside.map(text => text.slice(0, 120)),
    scroll: document.documentElement.scrollWidth,
    dark: matchMedia('(prefers-color-scheme: dark)').matches,
    tables: boxes('table'), plots: boxes('.rates svg'), bars: boxes('rect.bar'),
    curves: boxes('path.curve'),
    requests: performance.getEntriesByType('resource').map(entry => entry.name),
    text: document.body.innerText, scripts: document.scripts.length,
  };
};
addEventListener('load', () => {
  parent.document.body.textContent = JSON.stringify(measured());
});
"""


def need() -> str:
    """Return the browser; skips where there is none, and fails where one is required."""
    if PROGRAM is None or PAPER is None:
        if os.environ.get("ZRWIZARD_REQUIRE_GUEST") == "1":
            pytest.fail("chromium and poppler-utils are required here", pytrace=False)
        pytest.skip("no Chromium, or no pdftotext, on this machine")
    return PROGRAM


def _run(page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    profile = page.parent / "profile"
    words = [need(), *_FLAGS, _OFFLINE, f"--user-data-dir={profile}", *flags, page.as_uri()]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


def printed(page: Path) -> str:
    """Return the text of the page as it is printed."""
    paper = page.with_suffix(".pdf")
    _run(page, f"--print-to-pdf={paper}")
    words = ["pdftotext", "-layout", str(paper), "-"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def complaints(page: Path) -> list[str]:
    """Return what the page itself wrote to the console: errors, and refusals of its policy."""
    done = _run(page, "--enable-logging=stderr", "--v=0", "--dump-dom")
    assert "</html>" in done.stdout, done.stderr
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def measure(page: Path, width: int, *, dark: bool = False) -> dict[str, Any]:
    """Return what a script finds in a copy of the page, whose policy would forbid it else."""
    text = page.read_text()
    policy = text.index("<meta http-equiv")
    text = text[:policy] + text[text.index("\n", policy) :]
    copy = page.with_name(f"measured-{width}-{dark}.html")
    inner = escape(text.replace("</body>", f"<script>{_MEASURE}</script></body>"))
    # A window is never as narrow as a telephone; a frame is.
    frame = f'<iframe width="{width}" height="900" style="border: 0" srcdoc="{inner}"></iframe>'
    copy.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{frame}</body>')
    scheme = ("--blink-settings=preferredColorScheme=0",) if dark else ()
    done = _run(copy, "--window-size=1400,1000", *scheme, "--dump-dom")
    body = done.stdout.partition("<body>")[2].partition("</body>")[0]
    assert body.startswith("{"), done.stdout[:300] + done.stderr
    found: dict[str, Any] = json.loads(unescape(body))
    return found
