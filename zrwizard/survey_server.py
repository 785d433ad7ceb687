"""Looking at the backup server, from the target: its keys, what it holds, what the way brings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from zrwizard import survey
from zrwizard.facts import Facts
from zrwizard.freebsd import (
    inventory,
    sh,
    ssh,
    ssh_dialogue,
    zfs,
    zfs_send,
    zpool_features,
)
from zrwizard.mover import measure
from zrwizard.run.events import Event
from zrwizard.shell.api import Result, Shell

Emit = Callable[[Event], None]


def _host_keys(shell: Shell, facts: Facts, detail: tuple[str, ...], emit: Emit) -> Facts:
    name, port = detail
    result = survey.run(shell, ssh.scan(name, int(port)), 60, emit)
    keys = ssh.parse_scan(result.text)
    if not keys:
        raise survey.SurveyError(
            f"{name} port {port} gave no ssh host key. {result.errors.strip()}".strip(),
            "Check the server's name, its port, and that its sshd runs.",
            4,
        )
    server = replace(facts.server, endpoint=f"{name} {port}", keys=keys)
    return replace(facts, server=server)


def _session(facts: Facts) -> ssh.Session:
    # Only the directory matters: host, port and user stand in the file that the login wrote there.
    return ssh.Session(ssh.ALIAS, 22, "root", facts.home)


def _remote(shell: Shell, facts: Facts, text: str, timeout: float, emit: Emit) -> Result:
    result = survey.run(shell, ssh.run(_session(facts), text), timeout, emit)
    if result.status == 255:
        problem = ssh_dialogue.explain(result.errors)
        raise survey.SurveyError(
            problem.what if problem else f"The connection to the server failed: {result.both}",
            problem.now if problem else "Check that the server is up, and start again.",
            4,
        )
    return result


def _datasets(shell: Shell, facts: Facts, detail: tuple[str, ...], emit: Emit) -> Facts:
    result = _remote(shell, facts, zfs.list_roots(), 90, emit)
    if result.status:
        raise survey.SurveyError(
            f"The server did not list its datasets: {result.both}",
            "Check that zfs is installed there and that the login may use it.",
            1,
        )
    server = replace(facts.server, login=detail[0], roots=zfs.parse_roots(result.text))
    return replace(facts, server=server)


def _tree(shell: Shell, facts: Facts, detail: tuple[str, ...], emit: Emit) -> Facts:
    (name,) = detail
    result = _remote(shell, facts, inventory.command(name), 300, emit)
    if result.status and "does not exist" not in result.errors:
        raise survey.SurveyError(
            f"The server did not list {name}: {result.both}",
            "Look at the dataset on the server, and start again.",
            1,
        )
    found = None if result.status else inventory.parse(result.text.split("\n"))
    came = found is not None and _was_received(shell, facts, name, emit)
    server = replace(facts.server, tree_of=name, tree=found, tree_received=came)
    return replace(facts, server=server)


def _was_received(shell: Shell, facts: Facts, name: str, emit: Emit) -> bool:
    result = _remote(shell, facts, inventory.was_received(name), 300, emit)
    if result.status:
        raise survey.SurveyError(
            f"The server did not tell the properties of {name}: {result.both}",
            "Look at the dataset on the server, and start again.",
            1,
        )
    return result.text.strip() == "received"


def _features(shell: Shell, facts: Facts, detail: tuple[str, ...], emit: Emit) -> Facts:
    (pool,) = detail
    result = _remote(shell, facts, zpool_features.get(pool), 60, emit)
    found = {} if result.status else zpool_features.parse(result.text)
    return replace(facts, server=replace(facts.server, features_of=pool, features=found))


def _estimate(shell: Shell, facts: Facts, detail: tuple[str, ...], emit: Emit) -> Facts:
    snapshot, *options = detail
    result = _remote(shell, facts, zfs_send.estimate(snapshot, *options), 300, emit)
    refused = ""
    if result.status:
        known = zfs_send.explain(result.errors)
        refused = known.what if known else f"The server cannot send it: {result.both}"
    server = replace(
        facts.server,
        estimate_of=" ".join(detail),
        estimate=None if result.status else zfs_send.parse_estimate(result.text),
        refused=refused,
    )
    return replace(facts, server=server)


def _link(shell: Shell, facts: Facts, detail: tuple[str, ...], emit: Emit) -> Facts:
    login, where = detail
    script = sh.command("sh", f"{where}/measure.sh", where, "streams")
    command = sh.timeout(measure.SECONDS, script)
    result = survey.run(shell, command, measure.SECONDS + 30, emit)
    found = None if result.status else measure.link(result.text)
    return replace(facts, server=replace(facts.server, link_of=login, link=found))


LOOKS = {
    "hostkey": _host_keys,
    "datasets": _datasets,
    "tree": _tree,
    "features": _features,
    "estimate": _estimate,
    "link": _link,
}
"""What a flow may look for; each returns the facts with it, and raises as `survey.look` does."""
