"""What zpool(8) complains about, and what to do then. Facts C4."""

from __future__ import annotations

from .errors import Diagnosis, diagnose, rule

_RULES = (
    rule(
        "read-only root",
        r"cannot mount '(?P<at>[^']*)': failed to create mountpoint: Read-only file system",
        "The pool was created, but its mountpoint {at} lies on the read-only root.",
        "Nothing is lost: export the pool and create it with an altroot and mountpoint none.",
    ),
    rule(
        "in a pool",
        r"(?P<dev>\S+) is part of (?P<how>potentially active|active|exported|unknown) "
        r"pool '(?P<pool>[^']*)'",
        "{dev} belongs to the {how} pool {pool}.",
        "If that pool may go, wipe its labels (zpool labelclear -f) and look at the disks again.",
    ),
    rule(
        "in a pool",
        r"(?P<dev>\S+) is a member (?:of (?P<how>\w+(?: \w+)?)|\((?P<state>\w+)\) of) "
        r"pool \"(?P<pool>[^\"]*)\"",
        "{dev} is a member of the pool {pool}.",
        "If that pool may go, export it and use zpool labelclear -f.",
    ),
    rule(
        "no labels",
        r"failed to (?:read|clear) label (?:from|for|on)? ?(?P<dev>\S+)",
        "{dev} carries no ZFS label.",
        "Nothing to do: there is nothing to wipe.",
    ),
    rule(
        "busy",
        r"failed to open (?P<dev>\S+): Operation not permitted",
        "{dev} is in use.",
        "Export the pool that uses it, then try again.",
    ),
    rule(
        "no device",
        r"(?:failed to open|cannot open) '?(?P<dev>[^':\s]+)'?: "
        r"(?:No such file or directory|no such device)",
        "The device {dev} does not exist on the target.",
        "Look at the disks again; a GPT label vanishes while its partition is open.",
    ),
    rule(
        "device in use",
        r"one or more vdevs refer to the same device",
        "A device is in use: mounted, under geli, or part of another pool.",
        "Release it (zpool export, umount, geli detach), then try again.",
    ),
    rule(
        "pool exists",
        r"cannot create '(?P<pool>[^']*)': pool already exists",
        "A pool called {pool} is imported already.",
        "Export it, or choose another name.",
    ),
    rule(
        "too small",
        r"one or more devices is less than the minimum size",
        "A device is smaller than 64 MiB, the least that ZFS takes.",
        "Choose a larger disk or smaller other partitions.",
    ),
    rule(
        "mountpoint in use",
        r"mountpoint '(?P<at>[^']*)' exists and is not empty",
        "The mountpoint {at} holds files.",
        "Create the pool with mountpoint none, or empty the directory.",
    ),
    rule(
        "not found",
        r"cannot import '(?P<pool>[^']*)': no such pool available",
        "No pool called {pool} was found on the disks.",
        "Look with zpool import; attach geli providers first.",
    ),
    rule(
        "name taken",
        r"cannot import '(?P<pool>[^']*)': a pool with that name already exists",
        "A pool called {pool} is imported already.",
        "Import by its id under a new name, or export the other one.",
    ),
    rule(
        "other system",
        r"cannot import '(?P<pool>[^']*)': pool was previously in use from another system",
        "The pool {pool} was not exported by the system that used it last.",
        "If no other machine uses it now, import it with -f.",
    ),
    rule(
        "device missing",
        r"cannot import '(?P<pool>[^']*)': one or more devices is currently unavailable",
        "A device of the pool {pool} is missing, or locked by geli.",
        "Attach the disks or geli providers and try again.",
    ),
    rule(
        "several pools",
        r"cannot import '(?P<pool>[^']*)': more than one matching pool",
        "More than one pool is called {pool}.",
        "Import by the numeric id.",
    ),
    rule(
        "features",
        r"unsupported version or feature",
        "The pool uses features that the running system does not know.",
        "Boot a newer install medium.",
    ),
    rule(
        "no bootfs",
        r"cannot set property for '(?P<pool>[^']*)': no such pool or dataset",
        "The dataset that was named does not exist in {pool}.",
        "List the datasets (zfs list) and choose one that is there.",
    ),
    rule(
        "bad property",
        r"(?:cannot set property for '[^']*': )?(?:invalid property|property) "
        r"'(?P<name>[^']*)'(?P<rest>[^\n]*)",
        "The property {name} was refused.",
        "The system on the target may be too old for it; leave it out.",
    ),
    rule(
        "pool busy",
        r"cannot (?:export|unmount) '(?P<pool>[^']*)': (?:pool is busy|pool or dataset is busy)",
        "{pool} is busy: a file in it is open, or it is mounted.",
        "Leave its directories and close its files, then try again.",
    ),
    rule(
        "no pool",
        r"cannot open '(?P<pool>[^']*)': no such pool",
        "The pool {pool} is not imported.",
        "Import it first, or look at the name.",
    ),
    rule(
        "crashed",
        r"internal error: (?P<text>[^\n]*)",
        "zpool gave up with an internal error: {text}.",
        "Look at the console for disk errors and at zpool status.",
    ),
    rule(
        "io",
        r"I/O error",
        "A disk answered with an I/O error.",
        "Look at the console for disk errors; try another disk.",
    ),
)


def explain(stderr: str) -> Diagnosis | None:
    """What a known complaint of zpool(8) means and what to do now; None for an unknown one."""
    return diagnose(_RULES, stderr)
