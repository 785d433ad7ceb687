"""The steps after which only certificates open the server, and nobody was locked out on the way.

The very file that sshd shall use is tried on a port of its own first. Of a vault it takes the
old one's place only after a login has worked there, and what was tried runs on until a login has
worked on the final port too.
"""

from __future__ import annotations

from zrwizard.flows import server_told, shtext
from zrwizard.flows.server_choices import Plans, Server
from zrwizard.freebsd import cksum, host, sh, sockstat, sshd
from zrwizard.plan import Command, Danger, Edit, Fetch, Local, Phase, Send, Step, Upload

USER = "root"
_PUBLIC = f"{sshd.HOST_KEY}.pub"
_TRIES = 20


def access_steps(plans: Plans, server: Server) -> tuple[Step, ...]:
    """Return the steps from the machine's old ssh to one that its CA's certificates open."""
    tried = (
        *_identity(plans, server),
        _file(plans, server),
        _check(plans),
        _start(plans, server),
        _login(plans, server, "first"),
    )
    if not plans.purpose.vault:
        return (*tried, _accept(plans, server))
    return (
        *tried,
        _replace(plans, server),
        _restart(plans, server),
        _login(plans, server, "final"),
        _accept(plans, server),
        _stop(plans, server),
    )


def config(plans: Plans, server: Server) -> str:
    """Return the text of the sshd_config, the same for the trial and for the end."""
    where = sshd.paths(plans.name)
    return sshd.config(
        server.access.version,
        port=server.access.port,
        name=plans.name,
        users=(USER,),
        pid_file=None if plans.purpose.vault else where.pid,
    )


def config_file(plans: Plans) -> str:
    """Return the file that sshd uses when all is done."""
    return sshd.MAIN if plans.purpose.vault else sshd.paths(plans.name).config


def backup_file(plans: Plans) -> str:
    """Return where the old sshd_config of a vault is kept."""
    return f"{sshd.MAIN}.zrwizard-{plans.token}"


def listens(port: int) -> str:
    """Succeeds if an sshd listens on the TCP port."""
    program = f"$2 ~ /^sshd/ && $6 ~ /[:.]{port}$/ {{ here = 1 }} END {{ exit !here }}"
    return f"{sockstat.listening()} 2>/dev/null | awk {sh.quote(program)}"


def _soon(condition: str) -> str:
    """Succeeds as soon as `condition` holds, within some seconds: sshd forks before it listens."""
    return (
        f"i=0\nuntil {condition}; do\n"
        f'  i=$((i + 1)); [ "$i" -lt {_TRIES} ] || exit 1\n'
        "  sleep 1\ndone"
    )


def _accepted_file(plans: Plans) -> str:
    return f"{sshd.paths(plans.name).directory}/accepted"


def is_accepted(plans: Plans, server: Server) -> str:
    """Succeeds if this very configuration is in place and a login has worked with it."""
    text = config(plans, server)
    wanted = str(cksum.of(text.encode()))
    noted = sh.same_text(f"cat {sh.quote(_accepted_file(plans))} 2>/dev/null", wanted)
    in_place = shtext.same_file_text(config_file(plans), text)
    return f"{noted} && {in_place} && {listens(server.access.port)}"


# --- who is who -----------------------------------------------------------------------------------


def _identity(plans: Plans, server: Server) -> tuple[Step, ...]:
    where = sshd.paths(plans.name)
    folder = sh.quote(where.directory)
    there = f"[ -d {folder} ]"
    key, public = sh.quote(sshd.HOST_KEY), sh.quote(_PUBLIC)
    both = f"[ -s {key} ] && [ -s {public} ]"
    make = sh.command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", sshd.HOST_KEY)
    access, keys = server.access, server.keys
    days = (str(keys.host_days), str(keys.login_days), str(keys.single_days))
    return (
        Step(
            id="access-directory",
            phase=Phase.ACCESS,
            title="Make the directory for the server's certificates",
            why="Everything of ours lies in one place there.",
            action=Command(
                sh.all_of(
                    host.make_directory(where.directory),
                    sh.command("chmod", "755", sshd.DIRECTORY, where.directory),
                )
            ),
            danger=Danger.CHANGES,
            look=there,
            proof=there,
        ),
        Step(
            id="host-key",
            phase=Phase.ACCESS,
            title="Make the server's host key, if it has none",
            why="By it the server is known. It is made there and never leaves it.",
            action=Command(
                shtext.lines(
                    f"[ -s {key} ] || {{ rm -f {key} {public}; {make} || exit 1; }}",
                    f"[ -s {public} ] || ssh-keygen -y -f {key} > {public}",
                )
            ),
            danger=Danger.CHANGES,
            look=both,
            proof=both,
        ),
        Step(
            id="host-key-fetch",
            phase=Phase.ACCESS,
            title="Bring the public half of its host key to this machine",
            why="It came over the console, so it is the right one; nobody has to compare it.",
            action=Fetch(_PUBLIC, "host.pub"),
            danger=Danger.CHANGES,
        ),
        Step(
            id="certify",
            phase=Phase.ACCESS,
            title="Certify the server and the three keys",
            why="The CA vouches for the server to you, and for your keys to the server. Two of "
            "them can do one thing each, and nothing else.",
            action=Local(
                "certify",
                (plans.name, access.host, str(access.port), USER, plans.vessel.pool, *days),
                server_told.certify(plans, server),
            ),
            danger=Danger.CHANGES,
        ),
        _send(plans, "ca.pub", where.ca, "ca-send", "Tell the server which CA to believe"),
        _send(
            plans,
            "host-cert.pub",
            where.certificate,
            "host-certificate-send",
            "Give the server its certificate",
        ),
        _send(
            plans,
            "revoked.spec",
            f"{where.directory}/revoked.spec",
            "revoked-send",
            "Tell it which certificates are revoked",
        ),
        Step(
            id="revoked",
            phase=Phase.ACCESS,
            title="Make the list of revoked keys",
            why="It is empty while nothing was lost. Without the list sshd would admit nobody.",
            action=Command(sshd.krl(plans.name, f"{where.directory}/revoked.spec")),
            danger=Danger.CHANGES,
            proof=sshd.krl_admits(plans.name, where.certificate),
        ),
    )


def _send(plans: Plans, name: str, path: str, id: str, title: str) -> Step:
    return Step(
        id=id,
        phase=Phase.ACCESS,
        title=title,
        why=f"{name} is public; it was made beside the keys of {plans.name}.",
        action=Send(name, path, 0o644),
        danger=Danger.CHANGES,
        proof=sh.is_file(path),
    )


# --- the trial ------------------------------------------------------------------------------------


def _file(plans: Plans, server: Server) -> Step:
    path = sshd.paths(plans.name).config
    text = config(plans, server)
    same = shtext.same_file_text(path, text)
    return Step(
        id="sshd-new-config",
        phase=Phase.ACCESS,
        title=f"Write the new configuration of ssh for {server.access.version.text}",
        why="Certificates only, no passwords, no forwarding, and only what this OpenSSH knows.",
        action=Upload(path, 0o600, content=text),
        danger=Danger.CHANGES,
        look=same,
        proof=same,
    )


def _check(plans: Plans) -> Step:
    return Step(
        id="sshd-check",
        phase=Phase.ACCESS,
        title="Have sshd check it",
        why="What sshd itself refuses is found before anything depends on it.",
        action=Command(sshd.check(sshd.paths(plans.name).config)),
    )


def _start(plans: Plans, server: Server) -> Step:
    where = sshd.paths(plans.name)
    vault = plans.purpose.vault
    pid = where.trial_pid if vault else where.pid
    port = server.access.trial_port
    log = f"{plans.home}/sshd.log"
    start = sshd.start(where.config, port, pid, log=log) if vault else sshd.start(where.config)
    # What sshd could not do it says only after it went to the background.
    up = (
        f"( {sshd.comes_up(pid)} ) || {{ cat {sh.quote(log)} 2>/dev/null >&2; "
        f"printf 'No sshd of ours runs on port %s.\n' {port} >&2; exit 1; }}"
    )
    return Step(
        id="sshd-trial-start" if vault else "sshd-extra-start",
        phase=Phase.ACCESS,
        title=f"Start it on port {port}, beside the ssh that runs now",
        why="The old one stays as it is while the new one is tried."
        if vault
        else "The old one stays as it is; this one runs beside it from now on.",
        action=Command(
            shtext.lines(sshd.stop(pid), f"sleep 1; rm -f {sh.quote(log)}", f"{start} || exit", up)
        ),
        danger=Danger.CHANGES,
        look=is_accepted(plans, server),
        proof=_soon(listens(port)),
    )


def _login(plans: Plans, server: Server, which: str) -> Step:
    access = server.access
    final = which == "final"
    port = access.port if final else access.trial_port
    kept = (
        f"The one on port {access.trial_port} runs until this has worked; should it not, the old "
        f"configuration is in {backup_file(plans)} there."
    )
    return Step(
        id=f"trial-login-{which}",
        phase=Phase.ACCESS,
        title=f"Log in on port {port} with the new key",
        why=kept if final else "Only what has worked once may take the place of what works now.",
        action=Local(
            "trial-login", (plans.name, str(port)), server_told.login(plans, port), timeout=300
        ),
        look=is_accepted(plans, server),
    )


# --- of a vault: the old one's place --------------------------------------------------------------


def _replace(plans: Plans, server: Server) -> Step:
    old = server.system.file(sshd.MAIN)
    return Step(
        id="sshd-config",
        phase=Phase.ACCESS,
        title="Put the tried configuration in the place of the old one",
        why="The old file is kept beside it. The sshd that runs does not notice yet.",
        action=Edit(
            path=sshd.MAIN,
            mode=old.mode,
            content=config(plans, server),
            was=old.text,
            backup=backup_file(plans),
        ),
        danger=Danger.CHANGES,
        guard=f"{sshd.check(sshd.paths(plans.name).config)} || "
        + shtext.refuse("sshd refuses the new configuration; the old one stays."),
    )


def _restart(plans: Plans, server: Server) -> Step:
    backup, main = sh.quote(backup_file(plans)), sh.quote(sshd.MAIN)
    port = server.access.port
    back = f"back() {{ [ ! -e {backup} ] || cp -p {backup} {main}; }}"
    return Step(
        id="sshd-restart",
        phase=Phase.ACCESS,
        title=f"Restart ssh, so that it answers on port {port} with the new configuration",
        why="Logins that are open stay open. If it does not come back, the old file is put back "
        "at once and ssh is started with that.",
        action=Command(
            shtext.lines(
                back,
                f"{sshd.check(sshd.MAIN)} || {{ back; "
                + shtext.refuse("sshd refuses it: the old file is back, nothing was restarted.")
                + "; }",
                sshd.restart(),
                f"( {_soon(listens(port))}\n) && exit 0",
                f"back\n{sshd.restart()}",
                shtext.refuse(
                    f"The new sshd did not listen on port {port}: the old file is back, and ssh "
                    "was restarted with it."
                ),
            ),
            timeout=120,
        ),
        danger=Danger.CHANGES,
        look=is_accepted(plans, server),
        proof=listens(port),
    )


def _accept(plans: Plans, server: Server) -> Step:
    text = str(cksum.of(config(plans, server).encode()))
    accepted = is_accepted(plans, server)
    return Step(
        id="sshd-accept",
        phase=Phase.ACCESS,
        title="Note that this configuration has let you in",
        why="A run that is started again does not try it once more.",
        action=Command(sh.write_text(_accepted_file(plans), f"{text}\n")),
        danger=Danger.CHANGES,
        look=accepted,
        proof=accepted,
    )


def _stop(plans: Plans, server: Server) -> Step:
    pid = sshd.paths(plans.name).trial_pid
    port = server.access.trial_port
    gone = f"! {listens(port)}"
    return Step(
        id="sshd-trial-stop",
        phase=Phase.ACCESS,
        title=f"Stop the one on port {port}",
        why="The server has one door, and it was seen to open.",
        action=Command(sshd.stop(pid)),
        danger=Danger.CHANGES,
        look=gone,
        proof=_soon(gone),
    )
