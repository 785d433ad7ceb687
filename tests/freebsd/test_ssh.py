"""ssh(1): configuration, host keys, prompts and failures."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from zrwizard.freebsd import ParseError, ssh, ssh_dialogue
from zrwizard.freebsd.ssh_dialogue import Prompt

Recorded = Callable[..., str]
SESSION = ssh.Session("10.99.0.2", 2223, "root", "/tmp/zr-0a1b")


def key_blob(type_name: str = "ssh-ed25519") -> str:
    name = type_name.encode()
    raw = len(name).to_bytes(4, "big") + name + (32).to_bytes(4, "big") + bytes(range(32))
    return base64.b64encode(raw).decode()


has_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")

# --- configuration ----------------------------------------------------------------------------


def effective(session: ssh.Session, directory: Path) -> dict[str, str]:
    """What the real ssh makes of the configuration."""
    path = directory / "ssh_config"
    path.write_text(ssh.config(session))
    done = subprocess.run(
        ["ssh", "-G", "-F", str(path), ssh.ALIAS], capture_output=True, text=True, check=True
    )
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


@has_ssh
def test_the_real_ssh_reads_the_configuration(tmp_path: Path) -> None:
    found = effective(SESSION, tmp_path)
    assert found["hostname"] == "10.99.0.2"
    assert (found["port"], found["user"]) == ("2223", "root")
    assert found["controlpath"] == "/tmp/zr-0a1b/cm"
    assert found["userknownhostsfile"] == "/tmp/zr-0a1b/known_hosts"
    assert found["stricthostkeychecking"] in ("yes", "true")
    assert found["serveraliveinterval"] == "15"
    assert found["pubkeyauthentication"] in ("no", "false")


@has_ssh
def test_a_key_and_awkward_values(tmp_path: Path) -> None:
    odd = ssh.Session("fe80::1%em0", 22, "back up", "/tmp/z r", identity=True)
    found = effective(odd, tmp_path)
    assert found["hostname"] == "fe80::1%em0"
    assert found["user"] == "back up"
    assert found["identityfile"] == "/tmp/z r/id"
    assert found["identitiesonly"] == "yes"


@pytest.mark.parametrize(
    "session",
    [
        ssh.Session("a\nProxyCommand id", 22, "root", "/tmp/x"),
        ssh.Session('a"b', 22, "root", "/tmp/x"),
        ssh.Session("-oProxyCommand=id", 22, "root", "/tmp/x"),
        ssh.Session("", 22, "root", "/tmp/x"),
        ssh.Session("a", 22, "ro%ot", "/tmp/x"),
        ssh.Session("a", 0, "root", "/tmp/x"),
        ssh.Session("a", 22, "root", "/tmp/" + "x" * 90),
    ],
)
def test_what_cannot_stand_in_a_configuration(session: ssh.Session) -> None:
    with pytest.raises(ValueError, match=r"ssh|port|user"):
        ssh.config(session)


# --- host keys --------------------------------------------------------------------------------


@has_ssh
def test_fingerprint_equals_ssh_keygens(tmp_path: Path) -> None:
    path = tmp_path / "id"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a comment", "-f", str(path)],
        check=True,
    )
    type_name, blob, *_ = (tmp_path / "id.pub").read_text().split()
    (key,) = ssh.parse_scan(f"# h:22 SSH-2.0-OpenSSH_9.0\nh {type_name} {blob}\n")
    known = tmp_path / "known_hosts"
    known.write_text(ssh.known_hosts((key,), "10.99.0.2", 2223))
    assert known.read_text().startswith("[10.99.0.2]:2223 ssh-ed25519 ")
    done = subprocess.run(
        ["ssh-keygen", "-lf", str(known)], capture_output=True, text=True, check=True
    )
    (shown,) = ssh.parse_fingerprints(done.stdout)
    assert (shown.fingerprint, shown.type, shown.bits) == (key.fingerprint, "ED25519", 256)
    assert ssh.known_hosts((key,), "h", 22).startswith("h ssh-ed25519 ")


def test_several_keys_and_the_one_wanted() -> None:
    types = ("ssh-rsa", "ecdsa-sha2-nistp256", "ssh-ed25519")
    text = "".join(f"[h]:2223 {name} {key_blob(name)}\n" for name in types)
    keys = ssh.parse_scan(text + text)
    assert [key.short_type for key in keys] == ["RSA", "ECDSA", "ED25519"]
    chosen = ssh.preferred(keys)
    assert chosen is not None
    assert chosen.short_type == "ED25519"
    assert ssh.matching(keys, chosen.fingerprint) == (chosen,)
    assert ssh.matching(keys, chosen.fingerprint.removeprefix("SHA256:") + "=") == (chosen,)
    assert ssh.matching(keys, "SHA256:" + "A" * 43) == ()
    assert ssh.preferred(()) is None
    with pytest.raises(ParseError):
        ssh.matching(keys, "MD5:aa:bb")


@pytest.mark.parametrize(
    "text",
    [
        "getaddrinfo h: Name does not resolve\n",
        "h ssh-ed25519 AAAA\n",
        f"h ssh-rsa {key_blob()}\n",
        "h ssh-ed25519 é\n",
        "h ssh-ed25519\n",
    ],
)
def test_scan_nonsense(text: str) -> None:
    with pytest.raises(ParseError):
        ssh.parse_scan(text)


def test_nobody_answered_the_scan() -> None:
    assert ssh.parse_scan("") == ()
    with pytest.raises(ParseError):
        ssh.parse_fingerprints("x is not a public key file.\n")


# --- prompts ----------------------------------------------------------------------------------


def test_prompts_as_recorded(recorded: Recorded) -> None:
    seen = recorded("ssh root@10.99.0.2 uname -n", 1, "tty")
    kinds: list[tuple[Prompt, int]] = []
    for end in range(1, len(seen) + 1):
        kind = ssh_dialogue.prompt_at_end(seen[:end])
        if kind and (not kinds or kinds[-1][0] is not kind or end - kinds[-1][1] > 20):
            kinds.append((kind, end))
    assert [kind for kind, _ in kinds] == [
        Prompt.HOST_KEY,
        Prompt.HOST_KEY,
        Prompt.KEYBOARD,
        Prompt.KEYBOARD,
    ]
    assert ssh_dialogue.prompt_at_end(seen) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Enter passphrase for key '/tmp/zr-0a1b/id': ", Prompt.PASSPHRASE),
        ("root@10.0.2.2's password: ", Prompt.PASSWORD),
        ("Password for root@hostA:", Prompt.KEYBOARD),
        ("(root@10.0.2.2) Password for root@hostA:", Prompt.KEYBOARD),
        ("Password:", Prompt.KEYBOARD),
        ("(root@10.0.2.2) Password: ", Prompt.KEYBOARD),
        ("root@10.0.2.2's password: \r\n", None),
        ("# ", None),
        ("", None),
    ],
)
def test_prompts(text: str, kind: Prompt | None) -> None:
    assert ssh_dialogue.prompt_at_end("banner\r\n" + text) is kind


def test_patterns_compile_alone() -> None:
    for pattern in (
        ssh_dialogue.PASSPHRASE_PATTERN,
        ssh_dialogue.PASSWORD_PATTERN,
        ssh_dialogue.KEYBOARD_PATTERN,
        ssh_dialogue.HOST_KEY_PATTERN,
    ):
        assert re.compile(pattern).search("") is None


# --- failures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("ssh -o BatchMode=yes -o UserKnownHostsFile=/tmp/kh root@10.99.0.2 true",
         "permission denied"),
        ("sed 's/AAAA[^ ]*/AAAAC3NzaC1lZDI1NTE5AAAAIEd1bW15ZHVtbXlkdW1teWR1bW15ZHVtbXlkdW1teWR1/'"
         " /tmp/kh > /tmp/kh2; ssh -o BatchMode=yes -o UserKnownHostsFile=/tmp/kh2 "
         "root@10.99.0.2 true", "host key changed"),
        ("ssh -o BatchMode=yes -o ConnectTimeout=5 -p 2223 root@10.99.0.2 true", "refused"),
        ("ssh -o BatchMode=yes -o ConnectTimeout=5 root@10.99.0.77 true", "timeout"),
    ],
)  # fmt: skip
def test_recorded_failures(recorded: Recorded, command: str, kind: str) -> None:
    found = ssh_dialogue.explain(recorded(command, part="stderr"))
    assert found is not None
    assert found.kind == kind
    assert "{" not in found.what + found.now


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ssh: connect to host 10.0.2.2 port 22: No route to host", "unreachable"),
        ("ssh: connect to host 10.0.2.2 port 22: Network is unreachable", "unreachable"),
        ("ssh: Could not resolve hostname x: Name does not resolve", "no such host"),
        ("Host key verification failed.", "host key unknown"),
        ("No ED25519 host key is known for [h]:2223 and you have requested strict checking.\n"
         "Host key verification failed.", "host key unknown"),
        ("@ WARNING: REVOKED HOST KEY DETECTED! @\nHost key verification failed.",
         "host key revoked"),
        ("Connection closed by 10.0.2.2 port 22", "disconnected"),
        ("kex_exchange_identification: Connection closed by remote host", "disconnected"),
        ("client_loop: send disconnect: Broken pipe", "disconnected"),
        ("Timeout, server 10.0.2.2 not responding.", "disconnected"),
        ("Connection timed out during banner exchange", "timeout"),
        ("Control socket connect(/tmp/zr/cm): No such file or directory", "master gone"),
        ('Load key "/tmp/zr/id": error in libcrypto\n'
         "root@h: Permission denied (publickey).", "bad key file"),
        ("/tmp/c: line 3: Bad configuration option: foo", "bad configuration"),
        ("cannot open 'x': dataset does not exist", None),
    ],
)  # fmt: skip
def test_failures(text: str, kind: str | None) -> None:
    found = ssh_dialogue.explain(text + "\r\n")
    assert (found.kind if found else None) == kind
    if found:
        assert found.what.endswith(".")
        assert found.now.endswith(".")
        assert "{" not in found.what + found.now
