"""The benchmark runs, and its table and its file have figures; how fast they are is not tested."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(os.geteuid() != 0, reason="our shell wants to be root's")
def test_the_table_has_figures_of_all_that_took_part(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.bench.console", "--rivals", "pexpect"]
    words += ["--commands", "5", "--bytes", "200000", "--limit", "3", "--speed", "460800"]
    words += ["--line-bytes", "3000", "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {line.split("  ")[0]: line for line in done.stdout.splitlines() if " MB in " in line}
    names = ["os.read, rolling tail", "os.read, stty -opost", "zrwizard"]
    assert list(rows) == [*names, "pexpect, tuned", "pexpect, defaults"]
    for line in rows.values():
        assert re.search(r"\d+\.\d+ +-?\d+\.\d\d +~\d+\.\d\d +\d+\.\d +0\.2 MB in .* s +\d", line)
    assert re.search(r"upload of 3000 bytes at 460800 baud: .* \d+ B/s", done.stdout)
    assert re.search(r"download of 3000 bytes at 460800 baud: .* \d+ B/s", done.stdout)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [row["name"] for row in figures["outcomes"]][:5] == list(rows)
    assert all(row["said"] == "" for row in figures["outcomes"])


def test_a_rival_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from tests.bench.console import contestants as c, table\n"
        f"c.HOME = Path({str(tmp_path)!r})\n"
        "gone = c.run(c.RIVALS[0], [], 1)\n"
        "print(table.table([gone], None, None, 1))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "labgrid ShellDriver" in done.stdout
    assert "(not set up: run with --setup)" in done.stdout


def test_the_previews_table_has_figures_from_the_text_to_the_screen(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.bench.preview", "--lines", "4000", "--frames", "3"]
    words += ["--unjudged", "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for title in ("wc -l", "bare Python split loop", "zfs_diff.Reader", "Reader and Tree"):
        assert re.search(rf"^{re.escape(title)} +\d+\.\d\d +\d+\.\d\d +4,004", done.stdout, re.M)
    for title in ("first row drawn", "a page on, median", "memory of the app", "find|look for"):
        assert re.search(rf"^(?:{title}).* \d", done.stdout, re.M)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["wc"]["lines"] == figures["split"]["lines"] == figures["tree"]["lines"] == 4004
    # Everything is open, so there is a row for each path, and for the directories that lead there.
    assert figures["screen"]["rows"] == figures["tree"]["rows"] >= figures["tree"]["paths"] > 3900
    assert 0 < figures["screen"]["first"] < figures["screen"]["over"]


def test_the_plannings_table_has_figures(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.bench.planning", "--datasets", "50", "--snapshots", "20"]
    words += ["--unjudged", "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^parse and decompose +\d+\.\d\d +\d+\.\d\d +\d+$", done.stdout, re.M)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["split"]["lines"] == figures["plan"]["lines"] == 1050
    assert (figures["plan"]["streams"], figures["plan"]["clones"]) == (50, 5)
