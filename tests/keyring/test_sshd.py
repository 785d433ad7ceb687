"""The product's own keys, certificates, config and list of the revoked, against a real sshd.

The keyring lies in a place whose name has blanks and a percent sign, as ssh_config must say it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pexpect
import pytest

from tests.keyring.bench import CA_PASS, Bench
from tests.keyring.door import HOST, USER, Door, free_port
from zrwizard.keyring import ca, issue, krl, sshconfig
from zrwizard.keyring.files import write_private

DAY = 86400


@dataclass
class House:
    """A server with sshd, and the operator who has its keys."""

    bench: Bench
    place: Path
    port: int
    door: Door = field(init=False)

    def path(self, file: str) -> Path:
        """What the door asks for: the host's private key is the server's own."""
        return self.place / "host" if file == "host" else self.bench.keyring().path(file)

    def certify(self, *days: int, user: str = USER) -> None:
        self.bench.certify(*days, port=self.port, host=HOST, user=user)

    def new_host_key(self) -> None:
        pair = ca.make_key(None, "root@knox")
        write_private(self.place / "host", pair.private)
        write_private(self.place / "host.pub", pair.public.encode())
        self.bench.fetched(pair.public)

    def ssh(self, role: str, *words: str, options: tuple[str, ...] = ()) -> tuple[int, str, str]:
        """Run ssh with the product's config, no terminal; its status and both outputs."""
        config = str(self.bench.keyring().path("ssh_config"))
        done = subprocess.run(
            ["ssh", "-F", config, *options, sshconfig.alias("knox", role), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": str(self.place)},
        )
        return done.returncode, done.stdout, done.stderr

    def refused(self, role: str, why: str) -> None:
        """Check that `role` does not get in, and that the server says why."""
        status, out, err = self.ssh(role, "x")
        assert status == 255
        assert "Permission denied" in err
        assert out == ""
        assert why in self.door.log()

    def works(self, role: str, request: str = "hello") -> None:
        status, out, err = self.ssh(role, request)
        assert (status, out) == (0, f"ran {role} with [{request}]\n"), err


@contextmanager
def house(root: Path) -> Iterator[House]:
    """Yield a running server that accepts the keyring's certificates."""
    place = root / "my 100%d keys"
    place.mkdir()
    it = House(Bench(place), place, free_port())
    it.bench.now = int(time.time())
    it.bench.give("ca-passphrase", CA_PASS)
    it.bench.make()
    it.new_host_key()
    it.certify()
    (root / "sshd").mkdir()
    # sshd_config knows no quotes for some paths: what it reads lies in a plain place.
    it.door = Door(root / "sshd", Server(it, root / "sshd"), it.port)  # type: ignore[arg-type]
    it.door.start()
    try:
        yield it
    finally:
        it.door.stop()


@dataclass
class Server:
    """The server's copies of what it was given, made when its sshd is (re)started."""

    house: House
    directory: Path

    def path(self, file: str) -> Path:
        copy = self.directory / file
        copy.write_bytes(self.house.path(file).read_bytes())
        copy.chmod(0o600)
        return copy


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A server whose force-commands tell what they were asked for."""
    tool = tmp_path / "receiver"
    tool.write_text('#!/bin/sh\necho "ran $1 with [$SSH_ORIGINAL_COMMAND]"\n')
    tool.chmod(0o755)
    monkeypatch.setattr(
        issue,
        "force_command",
        lambda _record, role: f"{tool} {role}" if role in ("deliver", "receive") else "",
    )
    with house(tmp_path) as it:
        yield it


def test_the_keys_do_what_they_are_for(served: House) -> None:
    """Host certificate, login with its passphrase, and both single-purpose keys."""
    served.works("deliver", "key")
    served.works("receive", "receive zroot; rm -rf /")
    config = str(served.bench.keyring().path("ssh_config"))
    argv = [
        "-F",
        config,
        "-o",
        "ControlMaster=no",
        "-o",
        "ControlPath=none",
        "knox",
        "echo in-$((1+1))",
    ]
    with pexpect.spawn("ssh", argv, timeout=60, env={**os.environ, "SSH_AUTH_SOCK": ""}) as child:
        child.expect("Enter passphrase for key")
        child.sendline(CA_PASS)
        child.expect("in-2")
        child.expect(pexpect.EOF)
    assert child.exitstatus == 0
    log = served.door.log()
    assert "ID knox-login (serial 2) CA ED25519" in log
    assert "ID knox-deliver (serial 3) CA ED25519" in log
    # The bare key opens nothing.
    served.bench.keyring().path("deliver-cert.pub").rename(served.place / "away")
    status, _out, err = served.ssh("deliver", "x")
    assert status == 255
    assert "Permission denied" in err


def test_validity(served: House) -> None:
    """Expired, and not yet valid; then right again."""
    now = served.bench.now
    served.bench.now = now - 40 * DAY
    served.certify(3650, 30, 30)
    served.refused("deliver", "Certificate invalid: expired")
    served.bench.now = now + 2 * DAY
    served.certify(3650, 730, 20)
    served.refused("receive", "Certificate invalid: not yet valid")
    served.bench.now = now
    served.certify()
    served.works("deliver")
    served.works("receive")


def test_revoked(served: House) -> None:
    """A list made from the spec by ssh-keygen refuses just that serial, without a restart."""
    served.works("receive")
    krl.revoke(served.bench.keyring(), 4, int(served.bench.now))
    keyring = served.bench.keyring()
    base = ["ssh-keygen", "-q", "-k", "-s", str(keyring.path("ca.pub"))]
    target = str(served.door.directory / "revoked")
    subprocess.run([*base, "-f", target, str(keyring.path("revoked.spec"))], check=True, timeout=30)
    served.refused("receive", "revoked by file")
    served.works("deliver")
    served.certify()
    served.works("receive")


def test_wrong_principal(served: House) -> None:
    served.certify(user="somebody")
    status, _out, err = served.ssh("deliver", "x", options=("-l", USER))
    assert status == 255
    assert "Permission denied" in err
    assert "name is not a listed principal" in served.door.log()


def test_another_ca(served: House, tmp_path: Path) -> None:
    """Certificates of a CA that the server does not know, for the same keys."""
    keyring = served.bench.keyring()
    for file in ("ca", "ca.pub"):
        keyring.path(file).unlink()
    served.bench.make()
    served.certify()
    status, _out, err = served.ssh("deliver", "x")
    assert (status, "Host key verification failed" in err) == (255, True), err
    trusting = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]
    trusting.append("HostKeyAlgorithms=ssh-ed25519")
    options = tuple(word for one in trusting for word in ("-o", one))
    status, _out, err = served.ssh("deliver", "x", options=options)
    assert (status, "Permission denied" in err) == (255, True), err


class TestHost:
    """What the client makes of the server."""

    def test_a_host_without_a_certificate_is_refused(self, served: House) -> None:
        served.door.certified = False
        served.door.again()
        status, _out, err = served.ssh("deliver", "x")
        assert status == 255
        assert "no matching host key type found" in err

    def test_an_expired_one(self, served: House) -> None:
        served.bench.now -= 40 * DAY
        served.certify(30, 730, 730)
        served.door.again()
        status, _out, err = served.ssh("deliver", "x")
        assert status == 255
        assert "Certificate invalid: expired" in err
        assert "Host key verification failed" in err

    def test_one_for_another_name(self, served: House) -> None:
        status, _out, err = served.ssh("deliver", "x", options=("-o", "HostKeyAlias=vera"))
        assert status == 255
        assert "Host key verification failed" in err

    def test_a_new_host_key_needs_only_a_new_certificate(self, served: House) -> None:
        served.new_host_key()
        served.certify()
        served.door.again()
        served.works("deliver")

    def test_a_revoked_one(self, served: House) -> None:
        served.works("deliver")
        krl.revoke(served.bench.keyring(), 1, int(served.bench.now))
        sshconfig.write(served.bench.keyring())
        status, _out, err = served.ssh("deliver", "x")
        assert status == 255
        assert "revoked" in err.lower()
        served.new_host_key()
        served.certify()
        served.door.again()
        served.works("deliver")

    def test_without_our_config_the_hashed_names_do(self, served: House) -> None:
        keyring = served.bench.keyring()
        key = str(keyring.path("deliver")).replace("%", "%%")
        known = served.place.parent / "known"
        known.write_bytes(keyring.read("known_hosts"))
        done = subprocess.run(
            [
                "ssh", "-F", "none", "-p", str(served.port), "-o", f'IdentityFile="{key}"',
                "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
                "-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes",
                f"{USER}@{HOST}", "x",
            ],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )  # fmt: skip
        assert done.stdout == "ran deliver with [x]\n", done.stderr
