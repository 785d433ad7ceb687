"""The bad day, rehearsed at once, and the proofs after which the server counts as ready."""

from __future__ import annotations

from zrwizard.flows import server_shtext, server_told, shtext
from zrwizard.flows.server_access_steps import config_file, listens
from zrwizard.flows.server_choices import Plans, Server
from zrwizard.flows.server_receiver_steps import refuses
from zrwizard.freebsd import sh, sshd
from zrwizard.plan import Command, Danger, Local, Phase, Step

_GONE_SECONDS = 120


def trial_steps(plans: Plans, server: Server) -> tuple[Step, ...]:
    """Return the trials over ssh, each an act of the operator's machine."""
    port = server.access.port
    acts = [
        (
            "single",
            "Try what a thief could do with the two single-purpose keys",
            "A shell, other commands, forwarding, copying files: all of it must be refused.",
        )
    ]
    if plans.purpose.vault:
        acts.append(
            (
                "deliver",
                "Deliver the key, and see the disk open and close again",
                "This is what each backup begins and ends with.",
            )
        )
    acts += [
        (
            "receive",
            "Send a small snapshot there, and bring it back",
            "A backup that was never restored is a hope. What comes back is compared.",
        ),
        (
            "cut",
            "Cut the line in the middle of a backup",
            "It will happen. What was received stays, and the disk closes by itself."
            if plans.purpose.vault
            else "It will happen. What was received stays, and the next try goes on from there.",
        ),
    ]
    steps = [_trial(plans, name, title, why, port) for name, title, why in acts]
    if plans.purpose.vault:
        steps.append(_gone(plans))
    return tuple(steps)


def _trial(plans: Plans, name: str, title: str, why: str, port: int) -> Step:
    return Step(
        id=f"trial-{name}",
        phase=Phase.TRIAL,
        title=title,
        why=why,
        action=Local(
            f"trial-{name}",
            (plans.name, str(port)),
            server_told.trial(plans, name, port),
            timeout=600,
        ),
        danger=Danger.CHANGES,
    )


def _gone(plans: Plans) -> Step:
    closed = server_shtext.closed(plans.vessel)
    return Step(
        id="trial-gone",
        phase=Phase.TRIAL,
        title="See on the server that the disk is closed",
        why="The word of the cut connection's other end is not taken for it.",
        action=Command(
            shtext.lines(
                "i=0",
                f"until ( {closed}\n) 2>/dev/null; do",
                f'  i=$((i + 2)); [ "$i" -lt {_GONE_SECONDS} ] || break',
                "  sleep 2",
                "done",
                closed,
            ),
            timeout=_GONE_SECONDS + 60,
        ),
    )


def proof_steps(plans: Plans, server: Server | None) -> tuple[Step, ...]:
    """Return the checks after which the set-up counts as good."""
    checks = [("disk", *_disk(plans))]
    if server is not None:
        checks += [
            (
                "access",
                "Only the new ssh answers, and with this configuration it would start again",
                "A machine that restarts at night must let you in afterwards.",
                _access(plans, server),
            ),
            (
                "receiver",
                "The receiver does what it is asked, and nothing else",
                "It is all that the two single-purpose keys can reach.",
                refuses(plans),
            ),
        ]
    return tuple(
        Step(
            id=f"prove-{id}",
            phase=Phase.PROOF,
            title=title,
            why=why,
            action=Command(text, timeout=120),
        )
        for id, title, why, text in checks
    )


def _disk(plans: Plans) -> tuple[str, str, str]:
    vessel = plans.vessel
    if vessel.encrypted or server_is_absent(plans):
        return (
            "The disk is closed",
            "A disk that stays open could be read by whoever takes the machine away running."
            if vessel.encrypted
            else "It can be unplugged now, and used in another machine.",
            shtext.lines(shtext.is_disk(vessel.identity), server_shtext.closed(vessel)),
        )
    return (
        "The pool is there, on this disk and without errors",
        "Backups go into it.",
        server_shtext.lies_on(vessel),
    )


def server_is_absent(plans: Plans) -> bool:
    """Whether only the disk was set up."""
    return plans.server is None


def _access(plans: Plans, server: Server) -> str:
    access = server.access
    where = sshd.paths(plans.name)
    texts = [
        f"{sshd.check(config_file(plans))} || "
        + shtext.refuse("sshd would not start again with its configuration."),
        f"{listens(access.port)} || " + shtext.refuse(f"No sshd listens on port {access.port}."),
        f"{sshd.krl_admits(plans.name, where.certificate)} || "
        + shtext.refuse("The list of revoked keys cannot be read, or refuses the server itself."),
    ]
    if plans.purpose.vault:
        texts.append(
            f"if {listens(access.trial_port)}; then "
            + shtext.refuse(f"The sshd of the trial still listens on port {access.trial_port}.")
            + "; fi"
        )
    return shtext.lines(*texts)


def finish_steps(plans: Plans, server: Server | None) -> tuple[Step, ...]:
    """Return the sheet, the bundle with what is new since, and the last word."""
    everything = [_disk(plans)[2]]
    if server is not None:
        everything += [_access(plans, server), f"( {refuses(plans)}\n) || exit 1"]
    everything.append(f"printf '%s\\n' {sh.quote(f'{plans.name} is ready.')}")
    steps = [
        Step(
            id="sheet",
            phase=Phase.FINISH,
            title="Write the sheet to be printed",
            why="It says how everything is done by hand, and what to do in the other house. No "
            "secret is on it.",
            action=Local(
                "sheet", (plans.name, *server_told.sheet(plans)), server_told.sheet_by_hand(plans)
            ),
            danger=Danger.CHANGES,
        )
    ]
    if server is not None:
        steps.append(
            Step(
                id="escrow-again",
                phase=Phase.FINISH,
                title="Pack the escrow bundle once more",
                why="The certificates are new since. Copy it away from this machine now.",
                action=Local("escrow", (plans.name,), server_told.escrow(plans)),
                danger=Danger.CHANGES,
            )
        )
    steps.append(
        Step(
            id="ready",
            phase=Phase.FINISH,
            title="Ready" if server is not None else "The disk is ready",
            why="Everything is looked at once more, and nothing was left open.",
            action=Command(shtext.lines(*everything), timeout=180),
        )
    )
    return tuple(steps)
