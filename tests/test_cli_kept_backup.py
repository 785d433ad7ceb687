"""What a backup server set over what it had received: none of it comes with a restore."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_cli_moved import WANTED, home
from zrwizard import rehearse
from zrwizard.cli import main
from zrwizard.rehearsal import Rehearsal
from zrwizard.rehearsal.bootcheck import boot_disk
from zrwizard.rehearsal.zfsstate import Pool
from zrwizard.run.events import Exit

__all__ = ["home"]
KEPT = {"readonly": "on", "canmount": "off", "compression": "gzip-9", "org.example:kept": "7 years"}
"""What keepers of backups set, so that nobody mounts them or writes to them."""


def restore(home: Path, made: Rehearsal, way: str) -> int:
    given = {**dict(rehearse.answers(made)), "source.way": way, "finish.action": "stay"}
    given["target.mend"] = "write"
    path = home / "answers.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items()))
    argv = ["restore", "--headless", "--console", made.url, "--answers", str(path)]
    argv += ["--secret", "server=env:ZR_TEST_PASSWORD", "--confirm-erase", WANTED.disk_serial]
    return main(argv)


def restored(made: Rehearsal) -> Pool:
    """The pool on the disk: it was exported at the end."""
    places = [w for w in made.target.places() if w.disk is boot_disk(made.target)]
    (pool,) = (w.content.pool for w in places if w.content.pool)
    return pool


@pytest.mark.parametrize("way", ["every", "latest", "tree"])
def test_the_restored_pool_has_what_the_host_had(home: Path, way: str) -> None:
    with Rehearsal(speed=200, scenario=WANTED) as made:
        backup = made.server.pools["hostA"]
        for ds in backup.datasets.values():
            ds.local |= KEPT
        assert restore(home, made, way) == Exit.DONE
        assert (made.would_boot(), made.accidents) == ([], [])
        pool = restored(made)
        assert pool.datasets.keys() == backup.datasets.keys()
        for name, ds in pool.datasets.items():
            assert ds.received == backup.datasets[name].received
            assert not {"readonly", "org.example:kept"} & ds.local.keys()
        (report,) = home.rglob("report.md")
        assert "readonly is not set, and on on the server (the server's own setting)" in (
            report.read_text()
        )


def test_what_was_never_received_comes_as_it_is_set(home: Path) -> None:
    with Rehearsal(speed=200, scenario=WANTED) as made:
        backup = made.server.pools["hostA"]
        for ds in backup.datasets.values():
            ds.local, ds.received = {**ds.received, "org.example:kept": "here"}, {}
        assert restore(home, made, "every") == Exit.DONE
        assert (made.would_boot(), made.accidents) == ([], [])
        for name, ds in restored(made).datasets.items():
            assert ds.received == backup.datasets[name].local


def test_where_everything_that_came_was_set_again_it_is_still_seen(home: Path) -> None:
    with Rehearsal(speed=200, scenario=WANTED) as made:
        backup = made.server.pools["hostA"]
        for ds in backup.datasets.values():
            ds.local |= {**ds.received, "readonly": "on"}
        assert restore(home, made, "every") == Exit.DONE
        assert (made.would_boot(), made.accidents) == ([], [])
        for name, ds in restored(made).datasets.items():
            assert ds.received == backup.datasets[name].received
