"""The table of the nightly fuzz adds up what its runs report."""

from __future__ import annotations

import json

from nightly import table


def row(cell, commands, ok, exact=True, **errors):
    return {"cell": cell, "commands": commands, "ok": ok, "errors": errors, "exact": exact}


def test_the_runs_are_added_up_cell_by_cell(tmp_path):
    one, two = tmp_path / "1.json", tmp_path / "2.json"
    bad = row("noise 5%", 16, 5, exact=False, NoAnswer=10, MachineLost=1)
    one.write_text(json.dumps([row("clean", 1000, 1000), bad]))
    two.write_text(json.dumps([row("clean", 500, 500), row("noise 5%", 4, 4, exact=False)]))
    assert table([one, two]).splitlines()[2:] == [
        "| clean | 1,500 | 1,500 | 0 |",
        "| noise 5% ¹ | 20 | 9 | 1 MachineLost, 10 NoAnswer |",
        "| **all** | 1,520 | 1,509 | 1 MachineLost, 10 NoAnswer |",
    ]
