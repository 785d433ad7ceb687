"""The flow `server`: from an old computer and a disk to a locked-down backup server.

The ids of its steps, in the order of a vault (other plans leave some out):

keys      home, keys
disk      zfs-module, geli-module, speed-before, old-labels-N, old-table, new-table, partition-1,
          geli-init, key-opens, metadata, metadata-fetch, metadata-forget; or keep-disk
escrow    escrow
pool      attach, pool-again, pool, speed-after (or pool-kept), export, detach, key-gone, closed
access    access-directory, host-key, host-key-fetch, certify, ca-send, host-certificate-send,
          revoked-send, revoked, sshd-new-config, sshd-check, sshd-trial-start (plain:
          sshd-extra-start), trial-login-first, sshd-config, sshd-restart, trial-login-final,
          sshd-accept, sshd-trial-stop
receiver  receiver-directory, receiver, receiver-config, rc-script (plain), receiver-refuses
system    rc-conf, loader-conf, sysctl-conf, ttys, crontab, fstab, reach
trial     trial-single, trial-deliver, trial-receive, trial-cut, trial-gone
proof     prove-disk, prove-access, prove-receiver
finish    sheet, escrow-again, ready
"""

from __future__ import annotations

from dataclasses import dataclass

from zrwizard.facts import Facts, OwnFacts, SystemFacts, TargetFacts
from zrwizard.flows import (
    server_ask,
    server_ask_system,
    server_checks,
    server_told,
)
from zrwizard.flows.asking import Due, Talk
from zrwizard.flows.base import Flow
from zrwizard.flows.moves import Answers, Key, Look, Move, Review, Stuck
from zrwizard.flows.server_access_steps import access_steps
from zrwizard.flows.server_ask_disk import Gate, vessel
from zrwizard.flows.server_choices import Plans, Purpose, Server
from zrwizard.flows.server_disk_steps import disk_steps, escrow_step, key_steps
from zrwizard.flows.server_pool_steps import pool_steps
from zrwizard.flows.server_receiver_steps import receiver_steps
from zrwizard.flows.server_system_steps import system_steps
from zrwizard.flows.server_trial_steps import finish_steps, proof_steps, trial_steps
from zrwizard.freebsd import hardening, rcconf
from zrwizard.plan import Plan, Problem, Step

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
    Key(
        "server.host",
        "Its address or name, as this machine reaches it now; unless given, the address it has.",
        "192.0.2.20",
    ),
    Key(
        "server.port",
        "The port of its sshd when all is done; unless given, 22 for a vault, and 2223 for the one "
        "that a plain server has besides.",
        "22",
        "22",
    ),
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
class SetUp:
    """The flow. `next_move` goes through every question again and stops at the first open one."""

    name: str = NAME
    title: str = TITLE
    keys: tuple[Key, ...] = KEYS

    def next_move(self, facts: Facts, answers: Answers) -> Move:
        """Return the next question or look, or the plan to review."""
        try:
            return Review(_plan(Talk(facts, answers, NAME)))
        except Due as due:
            return due.move


SERVER: Flow = SetUp()


def _plan(talk: Talk) -> Plan:
    facts = talk.facts
    target, system = _target(facts), _system(facts)
    own = server_ask.own(talk, target)
    purpose = server_ask.purpose(talk, target, system, own.name)
    _ready(target, system, own, purpose)
    disk = vessel(talk, target, system, own, purpose)
    server = _server(talk, target, system, purpose) if purpose.whole else None
    server_ask.secrets(talk, facts)
    return build(
        Plans(
            token=facts.token,
            home=facts.home,
            directory=own.directory,
            purpose=purpose,
            vessel=disk,
            server=server,
        ),
        server_checks.about(target, system),
    )


def _target(facts: Facts) -> TargetFacts:
    target = facts.target
    if target is None:
        raise Due(Look("target", (), "Looking at the machine: disks, network, pools"))
    if target.uid != 0:
        problem = Problem("console", "The console's shell is not root's.", "Log in as root.")
        raise Due(Stuck((problem,), 4))
    return target


def _system(facts: Facts) -> SystemFacts:
    if facts.system is None:
        raise Due(Look("system", (), "Looking at its system: ssh, clock, files, encryption"))
    return facts.system


def _ready(target: TargetFacts, system: SystemFacts, own: OwnFacts, purpose: Purpose) -> None:
    """Say everything that is missing at once, before a question is asked in vain."""
    found = list(server_checks.missing(target, system, purpose))
    no_disk = Gate(target, system, own, purpose).none_free()
    if no_disk is not None:
        found.append(no_disk)
    if found:
        raise Due(Stuck(tuple(found), 2))


def _server(talk: Talk, target: TargetFacts, system: SystemFacts, purpose: Purpose) -> Server:
    access = server_ask.access(talk, target, system, purpose)
    keys = server_ask.keys(talk, purpose)
    force = server_ask.force(talk)
    tending = server_ask_system.tending(talk, purpose)
    reach = server_ask_system.reach(talk, target)
    return Server(
        access=access,
        keys=keys,
        force=force,
        tending=tending,
        reach=reach,
        source=server_ask_system.source(talk),
        system=system,
        machine=hardening.Machine(
            release=target.release,
            memory=target.memory,
            paces=system.paces,
            mounts=target.mounts,
            rc_local=system.file(rcconf.LOCAL).text or "",
        ),
    )


def build(plans: Plans, about: str) -> Plan:
    """Return the plan, from the keys to the last proof; `about` says which machine it is."""
    server = plans.server
    steps: tuple[Step, ...] = (
        *key_steps(plans),
        *disk_steps(plans),
        escrow_step(plans),
        *pool_steps(plans),
    )
    if server is not None:
        steps += (
            *access_steps(plans, server),
            *receiver_steps(plans, server),
            *system_steps(plans, server),
            *trial_steps(plans, server),
        )
    steps += (*proof_steps(plans, server), *finish_steps(plans, server))
    what = f"Set up the {plans.purpose.shape} {plans.name}"
    return Plan(
        flow=NAME,
        token=plans.token,
        title=f"{what} on {plans.vessel.disk.name}",
        steps=steps,
        disks=(plans.vessel.identity,),
        notes=(about, *server_told.notes(plans)),
    )
