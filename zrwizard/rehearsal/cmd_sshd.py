"""sshd(8), sockstat(1), and what ssh-keygen(1) does besides showing keys."""

from __future__ import annotations

import base64
import binascii
import re
import struct

from zrwizard.rehearsal.commands import Call, flags, program, tool
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.sshdstate import MAIN, PROGRAM, Sshd, checked, new_key

KRL_MAGIC = b"SSHKRL\n\0"
_CERTIFICATES, _SERIALS, _IDS = 1, 0x20, 0x23


@program("sshd", "/usr/sbin")
async def sshd(call: Call) -> int:
    """sshd(8): -t, -T, -V, else one in the background; -f, -p, -o."""
    path, ports, overrides, letters = _arguments(call.args)
    m = call.machine
    if "V" in letters:
        await call.err(f"{m.openssh}, {m.openssl}\n")
        return 0
    if "t" in letters:
        checked(m, path, overrides)
        return 0
    if "T" in letters:
        await call.out(checked(m, path, overrides).shown())
        return 0
    if call.called != PROGRAM:
        raise Fail("sshd re-exec requires execution with an absolute path\r\n", 255)
    Sshd.start(m, path, overrides, ports)
    return 0


def _arguments(args: list[str]) -> tuple[str, list[int], list[str], str]:
    path, letters = MAIN, ""
    ports: list[int] = []
    overrides: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            raise Fail("Extra argument " + word + ".\r\n")
        for at, letter in enumerate(word[1:], 2):
            if letter not in "fpoCcghkuE":
                letters += letter
                continue
            value = word[at:] or (rest.pop(0) if rest else "")
            if letter == "f":
                path = value
            elif letter == "p":
                ports.append(int(value))
            elif letter == "o":
                overrides.append(value.replace("=", " ", 1))
            break
    return path, ports, overrides, letters


@tool("sockstat")
def sockstat(call: Call) -> str:
    """sockstat(1): listening sockets."""
    found, _ = flags(call.args, "Pjp")
    wanted = [int(p) for p in found.get("p", "").split(",") if p.isdigit()]
    heading = ("USER", "COMMAND", "PID", "FD", "PROTO", "LOCAL ADDRESS", "FOREIGN ADDRESS")
    rows: list[tuple[str, ...]] = []
    sshds = {s.pid for s in call.machine.sshds}
    for port, pid in call.machine.listening.items():
        name = "sshd" if pid in sshds else call.machine.foreign_ports.get(port, "-")
        for fd, family in (("3", "tcp6"), ("4", "tcp4")):
            if not wanted or port in wanted:
                rows.append(("root", name, str(pid), fd, family, f"*:{port}", "*:*"))
    for name, fd, family, port in (("ntpd", "21", "udp4", 123), ("sendmail", "5", "tcp4", 25)):
        pid = next((p.pid for p in call.machine.processes.values() if name in p.command), 0)
        chosen = family[:3] in found.get("P", "tcp,udp") and (not wanted or port in wanted)
        if pid and chosen:
            at = f"127.0.0.1:{port}" if family == "tcp4" else f"*:{port}"
            rows.append(("ntpd" if port == 123 else "root", name, str(pid), fd, family, at, "*:*"))
    widths = (8, 10, 5, 3, 6, 21, 21)
    return "".join(
        " ".join(
            f"{cell[:w] if w == 10 else cell:<{w}s}" for cell, w in zip(r, widths, strict=True)
        )
        + "\n"
        for r in (heading, *rows)
    )


# ssh-keygen


def make_key(call: Call, found: dict[str, str]) -> str:
    """ssh-keygen -t ed25519 -N '' -f FILE."""
    path = found.get("f", "/root/.ssh/id_ed25519")
    if found.get("t", "ed25519") not in ("ed25519", "rsa", "ecdsa"):
        raise Fail(f"unknown key type {found['t']}\r\n", 255)
    if found.get("N", ""):
        raise Fail("the rehearsal makes keys without a passphrase\r\n", 255)
    comment = found.get("C", f"root@{call.machine.hostname}")
    private, public = new_key(call.machine, comment)
    try:
        call.write(path, private)
        call.write(f"{path}.pub", public)
    except Fail as refusal:
        words = refusal.err.rpartition(": ")[2].strip()
        raise Fail(f'Saving key "{path}" failed: {words}\r\n', 1) from None
    if call.machine.space is not None:
        from zrwizard.rehearsal.daemonfiles import place  # noqa: PLC0415 - nothing else needs it

        for name, mode in ((path, 0o600), (f"{path}.pub", 0o644)):
            at = place(call.machine, call.path(name))
            if at is not None:
                at.tree.change(at.rel, mode=mode)
    if "q" in found:
        return ""
    return (
        f"Generating public/private {found.get('t', 'ed25519')} key pair.\n"
        f"Your identification has been saved in {path}\n"
        f"Your public key has been saved in {path}.pub\n"
    )


def missing_host_keys(call: Call) -> str:
    """ssh-keygen -A: every host key that is not there; the rehearsal has the ed25519 one."""
    path = "/etc/ssh/ssh_host_ed25519_key"
    if call.exists(path):
        return ""
    make_key(call, {"f": path, "q": ""})
    return "ssh-keygen: generating new host keys: ED25519 \n"


def make_krl(call: Call, found: dict[str, str], names: list[str]) -> str:
    """ssh-keygen -k: a key revocation list in OpenSSH's own form."""
    path = found.get("f", "")
    if not path:
        raise Fail("KRL generation requires an output file\r\n", 255)
    authority = _public(call, found["s"]) if "s" in found else b""
    serials: list[int] = []
    ids: list[bytes] = []
    for name in names:
        text = call.read(name).decode("utf-8", "replace")
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw.partition("#")[0].strip()
            key, _, value = line.partition(":")
            value = value.strip()
            if not line:
                continue
            if key == "serial" and (many := re.fullmatch(r"(\d+)(?:-(\d+))?", value)):
                serials += range(int(many[1]), int(many[2] or many[1]) + 1)
            elif key == "id" and value:
                ids.append(value.encode())
            else:
                raise Fail(f"{name}:{number}: invalid key: invalid format\r\n", 255)
    if (serials or ids) and not authority:
        raise Fail("revoking certificates by serial number requires specification of a CA key\r\n")
    call.write(path, _krl(authority, int(found.get("z", "0")), serials, ids, call))
    return "" if "q" in found else f"Revoking from {' '.join(names)}\n"


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _krl(authority: bytes, number: int, serials: list[int], ids: list[bytes], call: Call) -> bytes:
    when = int(call.machine.now())
    body = KRL_MAGIC + struct.pack(">IQQQ", 1, number, when, 0) + _string(b"") + _string(b"")
    if not serials and not ids:
        return body
    inner = _string(authority) + _string(b"")
    if serials:
        packed = b"".join(struct.pack(">Q", n) for n in sorted(set(serials)))
        inner += bytes([_SERIALS]) + _string(packed)
    if ids:
        inner += bytes([_IDS]) + _string(b"".join(map(_string, ids)))
    return body + bytes([_CERTIFICATES]) + _string(inner)


def revoked(krl: bytes) -> tuple[set[int], set[bytes]] | None:
    """Serial numbers and key ids that a KRL revokes; None where it is no KRL."""
    if not krl.startswith(KRL_MAGIC):
        return None
    at = len(KRL_MAGIC) + 4 + 24
    serials: set[int] = set()
    ids: set[bytes] = set()
    try:
        for _ in range(2):
            at += 4 + struct.unpack_from(">I", krl, at)[0]
        while at < len(krl):
            size = struct.unpack_from(">I", krl, at + 1)[0]
            inner, at = krl[at + 5 : at + 5 + size], at + 5 + size
            pos = 0
            for _ in range(2):
                pos += 4 + struct.unpack_from(">I", inner, pos)[0]
            while pos < len(inner):
                kind, long = inner[pos], struct.unpack_from(">I", inner, pos + 1)[0]
                data, pos = inner[pos + 5 : pos + 5 + long], pos + 5 + long
                if kind == _SERIALS:
                    serials |= {struct.unpack_from(">Q", data, n)[0] for n in range(0, long, 8)}
                elif kind == _IDS:
                    while data:
                        span = struct.unpack_from(">I", data)[0]
                        ids.add(data[4 : 4 + span])
                        data = data[4 + span :]
    except struct.error:
        return None
    return serials, ids


def query_krl(call: Call, found: dict[str, str], names: list[str]) -> str:
    """ssh-keygen -Q: is a key or certificate revoked?"""
    known = revoked(call.read(found.get("f", "")))
    if known is None:
        raise Fail(f"Cannot parse KRL {found.get('f')}: invalid format\r\n", 255)
    text, status = "", 0
    for name in names:
        words = call.read(name).split()
        serial = _serial(base64.b64decode(words[1])) if b"cert" in words[0] else None
        gone = serial in known[0]
        status |= gone
        comment = b" ".join(words[2:]).decode("utf-8", "replace")
        text += f"{name} ({comment}): {'REVOKED' if gone else 'ok'}\n"
    if status:
        raise Fail("", 1, text)
    return text


def _serial(blob: bytes) -> int:
    """The serial number inside an ed25519 certificate: type, nonce, key, serial."""
    at = 0
    for _ in range(3):
        at += 4 + int(struct.unpack_from(">I", blob, at)[0])
    return int(struct.unpack_from(">Q", blob, at)[0])


def _public(call: Call, path: str) -> bytes:
    try:
        return base64.b64decode(call.read(path).split()[1], validate=True)
    except (IndexError, binascii.Error):
        raise Fail(f"Cannot load CA public key {path}: invalid format\r\n", 255) from None
