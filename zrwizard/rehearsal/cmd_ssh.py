"""ssh, ssh-keyscan and ssh-keygen -l (facts/freebsd.md C7, and the recorded dialogues)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import fnmatch

from zrwizard.rehearsal.cmd_net import door_at, resolve, route_to
from zrwizard.rehearsal.cmd_sshd import make_key, make_krl, missing_host_keys, query_krl
from zrwizard.rehearsal.commands import Call, flags, program, tool
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.sshconfig import REFUSED, Target, parse
from zrwizard.rehearsal.sshremote import drop_master, remote
from zrwizard.rehearsal.sshstate import (
    Door,
    Master,
    bits_of,
    fingerprint,
    kind_of,
    read_private_key,
    short_name,
)

KIND = "ssh-ed25519"


@program("ssh")
async def ssh(call: Call) -> int:
    """ssh(1)."""
    if call.args[:1] == ["-V"]:
        await call.err(f"{call.machine.openssh}, {call.machine.openssl}\n")
        return 0
    found, target, command = parse(call)
    if not target.alias:
        raise Fail(
            "usage: ssh [-46AaCfGgKkMNnqsTtVvXxYy] destination [command [argument ...]]\n", REFUSED
        )
    m = call.machine
    master = m.masters.get(call.path(target.control)) if target.control else None
    if "O" in found:
        return await _control(call, target, master, found["O"])
    wants_master = target.get("controlmaster") in ("yes", "auto")
    if master is None or (target.get("controlmaster") == "yes"):
        door = await _connect(call, target)
        await _check_host(call, target, door)
        await _authenticate(call, target, door)
        if wants_master and target.control:
            path = call.path(target.control)
            if call.exists(path):
                await call.err(
                    f"ControlSocket {target.control} already exists, disabling multiplexing\r\n"
                )
            else:
                _become_master(call, target, path)
    else:
        door = _door(call, target)
    if "N" in found:
        if "f" in found:
            return 0
        await m.down.wait()
        return 0
    return await remote(call, target, door, " ".join(command))


def _become_master(call: Call, target: Target, path: str) -> None:
    pid = call.machine.new_process(f"ssh: {target.control} [mux]", 1).pid
    call.write(path, b"")
    call.io.fs.chmod(path, 0o600)
    call.machine.masters[path] = Master(path, pid, target.user, target.host, target.port)


async def _control(call: Call, target: Target, master: Master | None, verb: str) -> int:
    if master is None:
        await call.err(f"Control socket connect({target.control}): No such file or directory\r\n")
        return REFUSED
    if verb == "check":
        await call.err(f"Master running (pid={master.pid})\r\n")
        return 0
    if verb in ("exit", "stop"):
        drop_master(call, target)
        await call.err(
            "Exit request sent.\r\n" if verb == "exit" else "Stop listening request sent.\r\n"
        )
        return 0
    raise Fail("Invalid multiplex command.\r\n", REFUSED)


def _door(call: Call, target: Target) -> Door:
    address = resolve(call, target.host)
    door = door_at(call.machine, address)
    if door is None or door.refused:
        raise Fail("client_loop: send disconnect: Broken pipe\r\n", REFUSED)
    return door


async def _connect(call: Call, target: Target) -> Door:
    m, host, port = call.machine, target.host, target.port
    address = resolve(call, host)
    if not address:
        raise Fail(f"ssh: Could not resolve hostname {host}: Name does not resolve\r\n", REFUSED)
    head = f"ssh: connect to host {host} port {port}: "
    if route_to(m, address) is None:
        raise Fail(f"{head}No route to host\r\n", REFUSED)
    door = door_at(m, address)
    if door is None or m.cable_cut:
        await m.clock.sleep(float(target.get("connecttimeout", "75")))
        raise Fail(f"{head}Operation timed out\r\n", REFUSED)
    if door.refused or port not in door.ports:
        raise Fail(f"{head}Connection refused\r\n", REFUSED)
    return door


def _known(call: Call, target: Target) -> tuple[str, list[tuple[int, bytes]]]:
    """The first known_hosts file, and its keys for this host with their line numbers."""
    files = target.get("userknownhostsfile", "/root/.ssh/known_hosts").split()
    keys: list[tuple[int, bytes]] = []
    for path in files:
        if not call.exists(path):
            continue
        for number, line in enumerate(call.read(path).decode("utf-8", "replace").splitlines(), 1):
            words = line.split()
            if len(words) >= 3 and any(
                fnmatch.fnmatch(target.known_name, _literal(p)) for p in words[0].split(",")
            ):
                try:
                    keys.append((number, base64.b64decode(words[2])))
                except binascii.Error:
                    continue
    return files[0] if files else "", keys


def _literal(pattern: str) -> str:
    return pattern.replace("[", "[[]") if pattern.startswith("[") else pattern


async def _check_host(call: Call, target: Target, door: Door) -> None:
    path, keys = _known(call, target)
    if any(blob in door.host_keys.values() for _, blob in keys):
        return
    strict = target.get("stricthostkeychecking", "ask")
    changed = [(n, b) for n, b in keys if kind_of(b) in door.host_keys]
    print_ = fingerprint(door.host_keys[KIND])
    if changed and strict != "off":
        line, blob = changed[0]
        raise Fail(_changed(target, print_, path, line, short_name(kind_of(blob))), REFUSED)
    if strict in ("no", "off", "accept-new"):
        await _remember(call, target, door, path)
        return
    if strict == "yes" or target.get("batchmode") == "yes" or call.session.tty is None:
        text = (
            f"No ED25519 host key is known for {target.known_name} and you have requested "
            "strict checking.\r\n"
            if strict == "yes"
            else ""
        )
        raise Fail(text + "Host key verification failed.\r\n", REFUSED)
    shown = (
        f"{target.known_name} ({target.known_name})"
        if target.port != 22
        else f"{target.host} ({target.host})"
    )
    tty = call.session.tty
    tty.write(
        (
            f"\rThe authenticity of host '{shown}' can't be established.\n"
            f"ED25519 key fingerprint is {print_}.\n"
            "This key is not known by any other names\n"
            "Are you sure you want to continue connecting (yes/no/[fingerprint])? "
        ).encode()
    )
    while True:
        answer = (await tty.readline()).decode("utf-8", "replace").strip()
        if answer.lower() == "no" or not answer:
            raise Fail("Host key verification failed.\r\n", REFUSED)
        if answer.lower() == "yes" or answer == print_:
            break
        tty.write(b"\rPlease type 'yes', 'no' or the fingerprint: ")
    await _remember(call, target, door, path)


def _changed(target: Target, shown: str, path: str, line: int, kind: str) -> str:
    box = "@" * 59
    return (
        f"{box}\r\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n{box}\r\n"
        "IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r\n"
        "Someone could be eavesdropping on you right now (man-in-the-middle attack)!\r\n"
        "It is also possible that a host key has just been changed.\r\n"
        f"The fingerprint for the ED25519 key sent by the remote host is\n{shown}.\r\n"
        "Please contact your system administrator.\r\n"
        f"Add correct host key in {path} to get rid of this message.\r\n"
        f"Offending {kind} key in {path}:{line}\r\n"
        f"Host key for {target.known_name} has changed and you have requested strict "
        "checking.\r\nHost key verification failed.\r\n"
    )


async def _remember(call: Call, target: Target, door: Door, path: str) -> None:
    entry = f"{target.known_name} {KIND} {base64.b64encode(door.host_keys[KIND]).decode()}\n"
    try:
        call.write(path, entry.encode(), append=True)
    except Fail:
        await call.err(
            "Could not create directory '/root/.ssh' (Read-only file system).\r\n"
            f"Failed to add the host to the list of known hosts ({path}).\r\n"
        )
        return
    await call.err(
        f"Warning: Permanently added '{target.known_name}' (ED25519) to the list of "
        "known hosts.\r\n"
    )


async def _authenticate(call: Call, target: Target, door: Door) -> None:
    if await _by_key(call, target, door):
        return
    methods = "publickey,password,keyboard-interactive" if door.password_login else "publickey"
    denied = f"{target.user}@{target.host}: Permission denied ({methods}).\r\n"
    tty = call.session.tty
    allowed = target.get("preferredauthentications", "keyboard-interactive,password")
    if (
        target.get("batchmode") == "yes"
        or tty is None
        or not door.password_login
        or not ("keyboard-interactive" in allowed or "password" in allowed)
    ):
        raise Fail(denied, REFUSED)
    name = f"({target.user}@{target.host}) Password for {target.user}@{door.hostname}:"
    for _ in range(int(target.get("numberofpasswordprompts", "3"))):
        await asyncio.sleep(0.01)  # what went to standard error comes first
        given = (await tty.secret("\r" + name)).decode("utf-8", "replace")
        await call.machine.clock.sleep(0.3)
        if given and door.users.get(target.user) == given:
            return
    raise Fail(denied, REFUSED)


async def _by_key(call: Call, target: Target, door: Door) -> bool:
    for path in target.identities:
        where = path.replace("~", call.machine.home)
        if not call.exists(where):
            await call.err(
                f"Warning: Identity file {path} not accessible: No such file or directory.\r\n"
                if path in call.args
                else ""
            )
            continue
        mode = call.io.fs.stat(call.path(where))["mode"] & 0o77
        if mode:
            box = "@" * 59
            await call.err(
                f"{box}\r\n@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @"
                f"\r\n{box}\r\nPermissions 0{mode | 0o600:o} for '{path}' are too open."
                "\r\n"
            )
            continue
        key = read_private_key(call.read(where).decode("utf-8", "replace"))
        if key is None:
            await call.err(f'Load key "{path}": invalid format\r\n')
            continue
        blob, locked = key
        if blob not in door.authorized:
            continue
        if not locked or await _unlock(call, target, door, path):
            return True
    return False


async def _unlock(call: Call, target: Target, door: Door, path: str) -> bool:
    tty = call.session.tty
    if tty is None or target.get("batchmode") == "yes":
        return False
    for _ in range(3):
        given = await tty.secret(f"\rEnter passphrase for key '{path}': ")
        if given.decode("utf-8", "replace") == door.passphrase:
            return True
        if not given:
            return False
    return False


@program("ssh-keyscan")
async def ssh_keyscan(call: Call) -> int:
    """ssh-keyscan(1): keys on standard output, remarks on standard error."""
    found, names = flags(call.args, "fpTt")
    port = int(found.get("p", "22"))
    kinds = [
        k
        for k in ("ssh-rsa", "ecdsa-sha2-nistp256", "ssh-ed25519")
        if "t" not in found or any(w in k for w in found["t"].split(","))
    ]
    status = 1
    for host in names:
        address = resolve(call, host)
        if not address:
            await call.err(f"getaddrinfo {host}: Name does not resolve\n")
            continue
        door = door_at(call.machine, address)
        if route_to(call.machine, address) is None or door is None:
            await call.machine.clock.sleep(float(found.get("T", "5")))
            continue
        if door.refused or port not in door.ports:
            continue
        for kind in kinds:
            name = host if port == 22 else f"[{host}]:{port}"
            await call.err(f"# {host}:{port} SSH-2.0-OpenSSH_9.0 FreeBSD-20220415\n")
            await call.out(f"{name} {kind} {base64.b64encode(door.host_keys[kind]).decode()}\n")
            status = 0
    return status


@tool("ssh-keygen")
def ssh_keygen(call: Call) -> str:
    """ssh-keygen(1): -l and -y, a new key with -t, -A, and revocation lists with -k and -Q."""
    found, names = flags(call.args, "fNCtbPEFRsz")
    path = found.get("f", "")
    if call.machine.space is not None:
        if "Q" in found:
            return query_krl(call, found, names)
        if "k" in found:
            return make_krl(call, found, names)
        if "A" in found:
            return missing_host_keys(call)
        if "t" in found:
            return make_key(call, found)
    if "F" in found or not ({"l", "y"} & set(found)):
        raise Fail("ssh-keygen: the rehearsal knows -l, -y, -t, -A, -k and -Q\n", REFUSED)
    if path == "-":
        raise Fail("(stdin) is not a public key file.\r\n", REFUSED)
    try:
        text = call.read(path).decode("utf-8", "replace")
    except Fail:
        raise Fail(f"ssh-keygen: {path}: No such file or directory\r\n", REFUSED) from None
    if "PRIVATE KEY" in text:
        key = read_private_key(text)
        if key is None:
            raise Fail(f'Load key "{path}": invalid format\r\n', REFUSED)
        if "y" in found:
            return f"{KIND} {base64.b64encode(key[0]).decode()}\n"
        return f"256 {fingerprint(key[0])} no comment (ED25519)\n"
    out = ""
    for line in text.splitlines():
        words = line.split()
        at = next((i for i, w in enumerate(words) if w.startswith(("ssh-", "ecdsa-"))), -1)
        if at < 0 or at + 1 >= len(words) or line.startswith("#"):
            continue
        try:
            blob = base64.b64decode(words[at + 1], validate=True)
        except binascii.Error:
            continue
        name = " ".join(words[:at]) or " ".join(words[at + 2 :]) or "no comment"
        out += f"{bits_of(blob)} {fingerprint(blob)} {name} ({short_name(kind_of(blob))})\n"
    if not out:
        raise Fail(f"{path} is not a public key file.\r\n", REFUSED)
    return out
