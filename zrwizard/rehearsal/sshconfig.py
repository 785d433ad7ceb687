"""What an ssh command line and its configuration file say together (ssh_config(5))."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field

from zrwizard.rehearsal.commands import Call
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.sizes import words

REFUSED = 255


@dataclass(slots=True)
class Target:
    """What the command line and the configuration file say together."""

    alias: str
    options: dict[str, str] = field(default_factory=dict)
    identities: list[str] = field(default_factory=list)

    def get(self, key: str, default: str = "") -> str:
        """An option by its lower-case name."""
        return self.options.get(key, default)

    @property
    def host(self) -> str:
        """HostName, or the name as given."""
        return self.get("hostname", self.alias)

    @property
    def port(self) -> int:
        """The port."""
        return int(self.get("port", "22"))

    @property
    def user(self) -> str:
        """The remote user."""
        return self.get("user", "root")

    @property
    def known_name(self) -> str:
        """How known_hosts calls the host."""
        name = self.get("hostkeyalias", self.host)
        return name if self.port == 22 else f"[{name}]:{self.port}"

    @property
    def control(self) -> str:
        """The ControlPath with its tokens filled in; empty or `none` where there is none."""
        path = self.get("controlpath")
        for token, value in (
            ("%h", self.host),
            ("%p", str(self.port)),
            ("%r", self.user),
            ("%n", self.alias),
            ("%C", f"{abs(hash(self.host)):x}"),
        ):
            path = path.replace(token, value)
        return path


VALUES = "BbcDEeFIiJLlmOopQRSWw"


def parse(call: Call) -> tuple[dict[str, str], Target, list[str]]:
    """Flags, target and remote command."""
    words, found = list(call.args), {}
    target = Target("")
    given: list[str] = []
    while words:
        word = words[0]
        if not word.startswith("-"):
            if target.alias:
                break
            target.alias = words.pop(0)
            continue
        words.pop(0)
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in VALUES:
                value = letters or (words.pop(0) if words else "")
                if letter == "o":
                    given.append(value)
                elif letter == "i":
                    target.identities.append(value)
                else:
                    found[letter] = value
                break
            found[letter] = ""
    for item in given:
        key, _, value = item.replace("=", " ", 1).partition(" ")
        _option(target, key, value.strip())
    if "@" in target.alias:
        user, _, target.alias = target.alias.rpartition("@")
        target.options.setdefault("user", user)
    for letter, key in (("p", "port"), ("l", "user"), ("S", "controlpath")):
        if letter in found:
            target.options[key] = found[letter]
    if "M" in found:
        target.options["controlmaster"] = "yes"
    if "F" in found and found["F"] not in ("none", "/dev/null"):
        _configure(call, target, found["F"])
    return found, target, words


def _option(target: Target, key: str, value: str) -> None:
    if key.lower() == "identityfile":
        target.identities.append(value.strip('"'))
    else:
        target.options.setdefault(key.lower(), value.strip('"'))


def _configure(call: Call, target: Target, path: str) -> None:
    try:
        text = call.read(path).decode("utf-8", "replace")
    except Fail:
        raise Fail(
            f"Can't open user config file {path}: No such file or directory\r\n", REFUSED
        ) from None
    applies = True
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, _, value = line.replace("=", " ", 1).partition(" ")
        if key.lower() == "host":
            applies = any(fnmatch.fnmatch(target.alias, p) for p in value.split())
        elif applies:
            if key.lower() not in KNOWN_OPTIONS:
                raise Fail(
                    f"{path}: line {number}: Bad configuration option: {key.lower()}\r\n"
                    f"{path}: terminating, 1 bad configuration options\r\n",
                    REFUSED,
                )
            _option(target, key, value.strip())


KNOWN_OPTIONS = set(
    words("""
hostname port user controlpath controlmaster controlpersist userknownhostsfile
globalknownhostsfile stricthostkeychecking serveraliveinterval serveralivecountmax
connecttimeout identityfile identitiesonly batchmode loglevel preferredauthentications
passwordauthentication kbdinteractiveauthentication challengeresponseauthentication
pubkeyauthentication numberofpasswordprompts compression ciphers macs hostkeyalgorithms
hostkeyalias updatehostkeys checkhostip forwardagent forwardx11 requesttty addressfamily
connectionattempts tcpkeepalive visualhostkey escapechar identityagent permitlocalcommand
addkeystoagent verifyhostkeydns hashknownhosts exitonforwardfailure clearallforwardings
kexalgorithms sendenv stdinnull sessiontype forkafterauthentication ipqos rekeylimit
canonicalizehostname gssapiauthentication hostbasedauthentication
""")
)
