"""The bad day, rehearsed at once: each act tries one thing on the real server and says what is so.

An act cleans up what it made, also where it fails halfway, and may be done any number of times.
All raise `OperatorError`; none of what they say holds a secret.
"""

from __future__ import annotations

import re
import time

from zrwizard.freebsd import sh
from zrwizard.keyring.channel import Who
from zrwizard.keyring.dial import Dial
from zrwizard.keyring.holding import Server, TrialError
from zrwizard.keyring.store import Keyring
from zrwizard.keyring.trial_streams import cut, receive
from zrwizard.run.operator import Say

__all__ = ["cut", "deliver", "login", "receive", "single"]

CLOCK_LIMIT = 120.0
"""Seconds by which the server's clock may be off: a certificate begins 5 minutes early."""
DETACHED = 60.0

_SINGLE: tuple[tuple[Who, str], ...] = (("deliver", "inventory"), ("receive", "key"))


def login(keyring: Keyring, dial: Dial, say: Say, port: int) -> str:
    """The login key opens the door, the server proves itself, and its clock is right."""
    server = Server(keyring, dial, say, port)
    user = server.login("id", "-un").decode("ascii", "replace").strip()
    if user != keyring.record.user:
        raise TrialError(
            f"The login key made us {user!r} on the server, not {keyring.record.user!r}.",
            "Issue the login certificate again for the right account.",
        )
    began = time.time()
    text = server.login("date", "-u", "+%s").strip()
    if not re.fullmatch(rb"\d{1,12}", text):
        raise TrialError("The server did not tell its time.", "Try date -u +%s there.")
    # The answer was given at some moment between the question and now.
    off = int(text) - began
    late = time.time() - began
    if not -CLOCK_LIMIT < off < CLOCK_LIMIT + late:
        raise TrialError(
            f"The server's clock is {abs(off):.0f} seconds {'ahead' if off > 0 else 'behind'}.",
            "Set the clock that is wrong, with ntpd or date: certificates depend on it.",
        )
    return (
        f"The login key opens port {port} as {user}; the server proves itself by its host "
        "certificate, and its clock is right."
    )


def single(keyring: Keyring, dial: Dial, say: Say, port: int) -> str:
    """A thief of a single-purpose key can do that one thing; everything else is refused."""
    server = Server(keyring, dial, say, port)
    for who, request in _SINGLE:
        if server.run(who, request, stdin=b"0\n").status == 0:
            raise TrialError(
                f"The key “{who}” was allowed “{request}”, which only the other one may.",
                "Issue the certificates of both again, each with its own force-command.",
            )
    found: list[str] = []
    for who, _ in _SINGLE:
        say(f"{who}: other commands, shell, sftp, scp, pty, X11, agent, ports, all really tried")
        found += dial.tries(who, port)
    if found:
        raise TrialError(
            " ".join(found),
            "Issue the certificates again without extensions (-O clear), and look at the "
            "server's sshd_config: nothing of this may be allowed.",
        )
    return (
        "With a stolen single-purpose key one can do that one thing: other commands, a shell, "
        "files, a terminal, X11, agent and ports were all tried and refused."
    )


def deliver(keyring: Keyring, dial: Dial, say: Say, port: int) -> str:
    """The key is delivered, the pool opens and answers, and nothing of it is left afterwards."""
    server = Server(keyring, dial, say, port)
    before = server.attached()
    with server.held():
        opened = sorted(server.attached() - before)
        if server.vault and not opened:
            raise TrialError(
                "The pool is open, but geli status shows nothing that was not there before.",
                f"The disk was attached already: {sh.command('zpool', 'export', server.pool)}, "
                "then geli detach, then try again.",
            )
        rows = server.ask("inventory").splitlines()
        if not rows or rows[0].split(b"\t")[0] != server.pool.encode():
            raise TrialError(
                "The receiver's inventory does not begin with the pool.",
                "Install the receiver again.",
            )
        if not server.ask("space").strip():
            raise TrialError("The receiver tells no space.", "Install the receiver again.")
        health = re.search(rb"^\s*state: (\S+)", server.ask("health"), re.MULTILINE)
        state = health[1].decode("ascii", "replace") if health else "not told"
        if state != "ONLINE":
            raise TrialError(
                f"The pool {server.pool} is not well: its state is {state}.",
                "Look at zpool status on the server before anything is trusted to it.",
            )
    if not server.vault:
        return f"The pool {server.pool} is {state} and tells inventory, space and health."
    _gone(server, before, opened)
    return (
        f"The key was delivered: {', '.join(opened)} was attached and {server.pool} is {state}; "
        "inventory, space and health were told. Afterwards geli status shows nothing of it."
    )


def _gone(server: Server, before: frozenset[str], opened: list[str]) -> None:
    if server.same_as_before(before, DETACHED) is None:
        raise TrialError(
            f"{', '.join(opened)} is still attached {DETACHED:.0f} seconds after the end.",
            f"Detach it by hand: {sh.command('zpool', 'export', server.pool)}; "
            f"{sh.command('geli', 'detach', opened[0].removesuffix('.eli'))}. Then install the "
            "receiver again.",
        )
