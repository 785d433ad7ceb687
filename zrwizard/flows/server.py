"""The flow `server`: from an old computer and a disk to a locked-down backup server.

The ids of its steps, in the order of a vault on a whole disk (other plans leave some out):

keys      home, keys
disk      zfs-module, geli-module, speed-before, old-labels-N, old-table, new-table, partition-1,
          geli-init, key-opens, metadata, metadata-fetch, metadata-forget; keep-disk
escrow    escrow
pool      attach, pool-again, pool (pool-keep), speed-after, export, detach, closed, key-gone
access    access-directory, host-key, host-key-fetch, certify, ca-send, host-certificate-send,
          revoked, sshd-trial-config, sshd-trial-start, trial-login-first, sshd-config,
          sshd-restart, trial-login-final, sshd-accept, sshd-trial-stop; sshd-extra-config,
          sshd-extra-start (plain)
receiver  receiver-directory, receiver, receiver-config, rc-script (plain), receiver-refuses
system    rc-conf, fstab, loader-conf, ttys, crontab, sysctl-conf, ntpd, reach
trial     trial-single, trial-deliver, trial-receive, trial-cut, trial-gone
proof     prove-disk, prove-access, prove-receiver
finish    sheet, escrow-again, forget, ready
"""

from __future__ import annotations

from dataclasses import dataclass

from zrwizard.facts import Facts
from zrwizard.flows.asking import Due, Talk
from zrwizard.flows.base import Flow
from zrwizard.flows.moves import Answers, Key, Look, Move, Stuck
from zrwizard.plan import Problem

NAME = "server"
TITLE = "Set up a backup server on another computer"

KEYS = (
    Key("server.name", "The backup server's name; its keys are filed under it.", "knox"),
    Key("server.shape", "vault (encrypted, its key never rests there) or plain.", "vault", "vault"),
    Key(
        "server.scope",
        "all, or disk (only the disk and the keys; all that a live medium allows).",
        "all",
        "all",
    ),
    Key("target.disk", "The disk to erase: its serial number, or its name.", "WX11A1234567"),
    Key(
        "disk.whole",
        "Only for a vault: yes encrypts the whole disk, no one partition.",
        "yes",
        "yes",
    ),
    Key("disk.pool", "Name of the pool on it.", "backup", "backup"),
    Key("server.host", "Its address or name, as this machine reaches it now.", "192.0.2.20"),
    Key("server.port", "The port of its sshd: 22 for a vault, 2223 for a plain server.", "22"),
    Key(
        "server.trial_port",
        "Only for a vault: where the new sshd is tried before the old one is replaced.",
        "2222",
        "2222",
    ),
    Key(
        "keys.delivery",
        "Only for a vault: how the disk's key gets there, stdin or fifo.",
        "stdin",
        "stdin",
    ),
    Key("keys.host_days", "For how many days the host certificate is valid.", "3650", "3650"),
    Key("keys.login_days", "For how many days the login key is.", "730", "730"),
    Key("keys.single_days", "For how many days the single-purpose keys are.", "730", "730"),
    Key(
        "receive.force",
        "yes lets a stream roll back and destroy what the sender lacks (zfs receive -F).",
        "no",
        "no",
    ),
    Key("system.files", "all (tend rc.conf, fstab and the like) or none.", "all", "all"),
    Key("system.root", "The root file system: keep, noatime or readonly.", "noatime", "noatime"),
    Key(
        "system.swap",
        "keep, or encrypt with a key that dies with each restart.",
        "encrypt",
        "encrypt",
    ),
    Key(
        "reach.how",
        "How it will be reached from outside: lan, forward, ipv6, tor or vpn.",
        "forward",
        "lan",
    ),
    Key(
        "reach.name",
        "The name or address that it will have there, or none.",
        "knox.example.org",
        "none",
    ),
    Key(
        "reach.address",
        "keep, dhcp, or a fixed address: ADDRESS/LENGTH GATEWAY.",
        "192.0.2.20/24 192.0.2.1",
        "keep",
    ),
    Key(
        "source.dataset",
        "What this server will keep, on the machine to be backed up.",
        "zroot",
        "none",
    ),
    Key("source.user", "Who sends it there without being root.", "backup", "none"),
)


@dataclass(frozen=True, slots=True)
class Server:
    """The flow. `next_move` goes through every question again and stops at the first open one."""

    name: str = NAME
    title: str = TITLE
    keys: tuple[Key, ...] = KEYS

    def next_move(self, facts: Facts, answers: Answers) -> Move:
        """Return the next question or look, or the plan to review."""
        try:
            _target(Talk(facts, answers))
        except Due as due:
            return due.move
        return Stuck((Problem("server.name", "Not wired yet.", "Wait."),), 1)


SERVER: Flow = Server()


def _target(talk: Talk) -> None:
    if talk.facts.target is None:
        raise Due(Look("target", (), "Looking at the machine: disks, network, pools"))
