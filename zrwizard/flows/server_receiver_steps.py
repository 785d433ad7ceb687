"""The steps that put the receiver onto the server: the one command behind two of the keys."""

from __future__ import annotations

from zrwizard import receiver
from zrwizard.flows import shtext
from zrwizard.flows.server_choices import Plans, Server
from zrwizard.freebsd import sh
from zrwizard.plan import Command, Danger, Phase, Step, Upload

_REFUSED = 77
"""The status with which the receiver turns down what its key may not do."""


def receiver_steps(plans: Plans, server: Server) -> tuple[Step, ...]:
    """Return the steps after which the receiver is there and refuses what it should."""
    plain = not plans.purpose.vault
    return (
        _directories(plain),
        _script(
            "receiver",
            "Install the receiver",
            "A short script, all that the single-purpose keys can run. It opens the disk, "
            "receives, and closes the disk whatever happens."
            if plans.purpose.vault
            else "A short script, all that the receiving key can run.",
            receiver.PATH,
            receiver.SCRIPT,
        ),
        _settings(plans, server),
        *([_rc_script()] if plain else []),
        Step(
            id="receiver-refuses",
            phase=Phase.RECEIVER,
            title="Ask it for what it must not do",
            why="It runs there, understands its settings, and says no.",
            action=Command(refuses(plans), timeout=60),
        ),
    )


def config(plans: Plans, server: Server) -> str:
    """Return the receiver's settings for this server."""
    vessel = plans.vessel
    return receiver.config(
        shape=plans.purpose.shape,
        serial=vessel.identity.serial or "",
        size=vessel.identity.size,
        part=vessel.part,
        pool=vessel.pool,
        delivery=server.keys.delivery,
        force=server.force,
    )


def refuses(plans: Plans) -> str:
    """Leaves with 1 unless the receiver turns down a shell, for each of the keys that it serves."""
    roles = receiver.ROLES if plans.purpose.vault else ("receive",)
    texts = []
    for role in roles:
        run = sh.command(receiver.PATH, plans.name, role)
        texts.append(
            f"o=$(SSH_ORIGINAL_COMMAND='id -un' {run} </dev/null 2>&1)\n"
            "r=$?\n"
            f"[ \"$r\" -eq {_REFUSED} ] || {{ printf 'The receiver answered with %s: %s\\n' "
            '"$r" "$o" >&2; exit 1; }'
        )
    return shtext.lines(*texts)


def _directories(plain: bool) -> Step:
    folders = ["/usr/local/libexec", receiver.CONFIG_DIR]
    if plain:
        folders.append(receiver.RC_PATH.rpartition("/")[0])
    there = " && ".join(f"[ -d {sh.quote(folder)} ]" for folder in folders)
    return Step(
        id="receiver-directory",
        phase=Phase.RECEIVER,
        title="Make the directories for the receiver",
        why="FreeBSD keeps what does not belong to it below /usr/local.",
        action=Command(sh.join(["mkdir", "-p", *folders])),
        danger=Danger.CHANGES,
        look=there,
        proof=there,
    )


def _script(id: str, title: str, why: str, path: str, content: str) -> Step:
    runs = f"[ -x {sh.quote(path)} ] && {shtext.same_file_text(path, content)}"
    return Step(
        id=id,
        phase=Phase.RECEIVER,
        title=title,
        why=why,
        action=Upload(path, 0o555, content=content),
        danger=Danger.CHANGES,
        look=runs,
        proof=f"{runs} && {sh.command('sh', '-n', path)}",
    )


def _settings(plans: Plans, server: Server) -> Step:
    path = receiver.config_path(plans.name)
    content = config(plans, server)
    same = shtext.same_file_text(path, content)
    return Step(
        id="receiver-config",
        phase=Phase.RECEIVER,
        title="Write down which disk and pool it serves",
        why="It finds the disk by its serial number and size, whatever name it has that day.",
        action=Upload(path, 0o600, content=content),
        danger=Danger.CHANGES,
        look=same,
        proof=same,
    )


def _rc_script() -> Step:
    return _script(
        "rc-script",
        "Install what starts it with the machine",
        "After a power cut the backup's ssh and its pool come back by themselves.",
        receiver.RC_PATH,
        receiver.RC_SCRIPT,
    )
