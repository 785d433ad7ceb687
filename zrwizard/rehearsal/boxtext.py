"""The text files of knox, an installed FreeBSD 14: as its installer and its owner left them."""

from __future__ import annotations

from zrwizard.rehearsal.medium import boot_files
from zrwizard.rehearsal.zfsstate import Tree

RELEASE = "14.0-RELEASE"
IDENT = "FreeBSD 14.0-RELEASE #0 releng/14.0-n265380-f9716eee8ab4: Fri Nov 10 05:57:23 UTC 2023"

RC_CONF = """\
hostname="knox"
ifconfig_em0="DHCP"
sshd_enable="YES"
ntpd_enable="YES"
ntpd_sync_on_start="YES"
moused_nondefault_enable="NO"
# Set dumpdev to "AUTO" to enable crash dumps, "NO" to disable
dumpdev="AUTO"
"""
FSTAB = """\
# Device\tMountpoint\tFStype\tOptions\tDump\tPass#
/dev/ada0p2\t/\t\tufs\trw\t1\t1
/dev/ada0p3\tnone\t\tswap\tsw\t0\t0
"""
LOADER_CONF = """\
# the lid's switch is dead
hw.acpi.lid_switch_state="NONE"
autoboot_delay="10"
"""
SYSCTL_CONF = """\
#
#  This file is read when going to multi-user and its contents piped thru
#  ``sysctl'' to adjust kernel values.  ``man 5 sysctl.conf'' for details.
#

# Uncomment this to prevent users from seeing information about processes that
# are being run under another UID.
#security.bsd.see_other_uids=0
"""
CRONTAB = """\
# /etc/crontab - root's crontab for FreeBSD
#
#
SHELL=/bin/sh
PATH=/etc:/bin:/sbin:/usr/bin:/usr/sbin
#
#minute\thour\tmday\tmonth\twday\twho\tcommand
#
# Save some entropy so that /dev/random can re-seed on boot.
*/11\t*\t*\t*\t*\toperator /usr/libexec/save-entropy
#
# Rotate log files every hour, if necessary.
0\t*\t*\t*\t*\troot\tnewsyslog
#
# Perform daily/weekly/monthly maintenance.
1\t3\t*\t*\t*\troot\tperiodic daily
15\t4\t*\t*\t6\troot\tperiodic weekly
30\t5\t1\t*\t*\troot\tperiodic monthly
#
# Adjust the time zone if the CMOS clock keeps local time, as opposed to
# UTC time.  See adjkerntz(8) for details.
1,31\t0-5\t*\t*\t*\troot\tadjkerntz -a
"""
TTYS = """\
#
#\t@(#)ttys\t5.1 (Berkeley) 4/17/89
#
# This file specifies various information about terminals on the system.
# It is used by several different programs.  Common entries for the
# various columns include:
#
# name\tgetty\t\t\t\ttype\tstatus\t\tcomments
#
# If console is marked "insecure", then init will ask for the root password
# when going to single-user mode.
console\tnone\t\t\t\tunknown\toff secure
#
ttyv0\t"/usr/libexec/getty Pc"\t\txterm\tonifexists secure
# Virtual terminals
ttyv1\t"/usr/libexec/getty Pc"\t\txterm\tonifexists secure
ttyv2\t"/usr/libexec/getty Pc"\t\txterm\tonifexists secure
ttyv3\t"/usr/libexec/getty Pc"\t\txterm\tonifexists secure
ttyv4\t"/usr/libexec/getty Pc"\t\txterm\tonifexists secure
ttyv5\t"/usr/libexec/getty Pc"\t\txterm\tonifexists secure
ttyv6\t"/usr/libexec/getty Pc"\t\txterm\tonifexists secure
ttyv7\t"/usr/libexec/getty Pc"\t\txterm\tonifexists secure
ttyv8\t"/usr/local/bin/xdm -nodaemon"\txterm\toff secure
# Serial terminals
# The 'dialup' keyword identifies dialin lines to login, fingerd etc.
ttyu0\t"/usr/libexec/getty 3wire"\tvt100\tonifconsole secure
ttyu1\t"/usr/libexec/getty 3wire"\tvt100\tonifconsole secure
ttyu2\t"/usr/libexec/getty 3wire"\tvt100\tonifconsole secure
ttyu3\t"/usr/libexec/getty 3wire"\tvt100\tonifconsole secure
# Dumb console
dcons\t"/usr/libexec/getty std.115200"\tvt100\toff secure
# Xen Virtual console
xc0\t"/usr/libexec/getty Pc"\t\txterm\tonifconsole secure
# RISC-V HTIF console
rcons\t"/usr/libexec/getty std.115200"\tvt100\tonifconsole secure
"""
NEWSYSLOG = """\
# configuration file for newsyslog
#
# logfilename          [owner:group]    mode count size when  flags [/pid_file] [sig_num]
/var/log/all.log\t\t\t600  7\t   *\t@T00  J
/var/log/auth.log\t\t\t600  7\t   1000 @0101T JC
/var/log/console.log\t\t\t600  5\t   1000 *     J
/var/log/cron\t\t\t\t600  3\t   1000 *     JC
/var/log/daily.log\t\t\t640  7\t   *\t@T00  JN
/var/log/debug.log\t\t\t600  7\t   1000 *     JC
/var/log/maillog\t\t\t640  7\t   *\t@T00  JC
/var/log/messages\t\t\t644  5\t   1000 @0101T JC
/var/log/security\t\t\t600  10\t   1000 *     JC
/var/log/utx.log\t\t\t644  3\t   *\t@01T05 B
<include> /etc/newsyslog.conf.d/[!.]*.conf
<include> /usr/local/etc/newsyslog.conf.d/[!.]*.conf
"""
SSHD_CONFIG = """\
#\t$OpenBSD: sshd_config,v 1.104 2021/07/02 05:11:21 dtucker Exp $

# This is the sshd server system-wide configuration file.  See
# sshd_config(5) for more information.

# This sshd was compiled with PATH=/usr/bin:/bin:/usr/sbin:/sbin

# The strategy used for options in the default sshd_config shipped with
# OpenSSH is to specify options with their default value where
# possible, but leave them commented.  Uncommented options override the
# default value.

# Note that some of FreeBSD's defaults differ from OpenBSD's, and
# FreeBSD has a few additional options.

#Port 22
#AddressFamily any
#ListenAddress 0.0.0.0
#ListenAddress ::

#HostKey /etc/ssh/ssh_host_rsa_key
#HostKey /etc/ssh/ssh_host_ecdsa_key
#HostKey /etc/ssh/ssh_host_ed25519_key

# Ciphers and keying
#RekeyLimit default none

# Logging
#SyslogFacility AUTH
#LogLevel INFO

# Authentication:

#LoginGraceTime 2m
PermitRootLogin yes
#StrictModes yes
#MaxAuthTries 6
#MaxSessions 10

#PubkeyAuthentication yes

# The default is to check both .ssh/authorized_keys and .ssh/authorized_keys2
# but this is overridden so installations will only check .ssh/authorized_keys
AuthorizedKeysFile\t.ssh/authorized_keys

# Change to yes to enable built-in password authentication.
# Note that passwords may also be accepted via KbdInteractiveAuthentication.
#PasswordAuthentication no
#PermitEmptyPasswords no

# Change to no to disable PAM authentication
#KbdInteractiveAuthentication yes

#AllowAgentForwarding yes
#AllowTcpForwarding yes
#X11Forwarding no
#PrintMotd yes
#TCPKeepAlive yes
#UseDNS yes
#PidFile /var/run/sshd.pid
#MaxStartups 10:30:100
#VersionAddendum FreeBSD-20231004

# no default banner path
#Banner none

# override default of no subsystems
Subsystem\tsftp\t/usr/libexec/sftp-server
"""
NTP_CONF = """\
tos minclock 3 maxclock 6
pool 0.freebsd.pool.ntp.org iburst
pool 2.freebsd.pool.ntp.org iburst
restrict default limited kod nomodify notrap noquery nopeer
restrict source  limited kod nomodify notrap noquery
restrict 127.0.0.1
restrict ::1
leapfile "/var/db/ntpd.leap-seconds.list"
"""
HOSTS = """\
::1\t\t\tlocalhost localhost.my.domain
127.0.0.1\t\tlocalhost localhost.my.domain
"""
MASTER_TEXT = """\
root:$6$Kq0iMlOkT9dWq1aC$vTwFfO6tR3kG1u0fXy1bQkEoX9uTz1o2W6bKp0m:0:0::0:0:\
Charlie &:/root:/bin/sh
toor:*:0:0::0:0:Bourne-again Superuser:/root:
daemon:*:1:1::0:0:Owner of many system processes:/root:/usr/sbin/nologin
operator:*:2:5::0:0:System &:/:/usr/sbin/nologin
sshd:*:22:22::0:0:Secure Shell Daemon:/var/empty:/usr/sbin/nologin
ntpd:*:123:123::0:0:NTP Daemon:/var/db/ntp:/usr/sbin/nologin
nobody:*:65534:65534::0:0:Unprivileged user:/nonexistent:/usr/sbin/nologin
"""
EXECUTABLE = (
    *("/bin/cat", "/bin/cp", "/bin/ls", "/bin/rm", "/bin/sh", "/bin/mkdir", "/bin/ps"),
    *("/sbin/mount", "/sbin/zfs", "/sbin/zpool", "/sbin/geli", "/sbin/gpart", "/sbin/camcontrol"),
    *("/usr/bin/env", "/usr/bin/stat", "/usr/bin/ssh", "/usr/bin/ssh-keygen", "/usr/bin/timeout"),
    *("/usr/sbin/daemon", "/usr/sbin/sshd", "/usr/sbin/service", "/usr/sbin/sysrc"),
    *("/usr/sbin/ntpd", "/usr/libexec/sftp-server", "/usr/libexec/getty"),
    *("/etc/rc.d/sshd", "/etc/rc.d/ntpd", "/etc/rc.d/powerd", "/etc/rc.d/zfs", "/etc/rc.d/cron"),
    *("/etc/rc.d/syslogd", "/etc/rc.d/sendmail", "/etc/rc.d/netif", "/etc/rc.d/geli"),
)
EMPTY = (
    *("root", "root/.ssh", "mnt", "media", "dev", "home", "var/empty", "var/run", "var/log"),
    *("var/tmp", "var/backups", "var/db", "var/cron/tabs", "usr/local/etc", "usr/local/libexec"),
    *("usr/local/etc/rc.d", "usr/local/sbin", "usr/local/bin", "etc/newsyslog.conf.d", "etc/ssh"),
    *("usr/share/zfs/compatibility.d", "boot/loader.conf.d", "etc/sysctl.conf.d"),
)
PRIVATE = {
    "/root": 0o750,
    "/root/.ssh": 0o700,
    "/var/empty": 0o555,
    "/var/backups": 0o750,
    "/var/cron/tabs": 0o700,
    "/etc/master.passwd": 0o600,
    "/var/tmp": 0o1777,  # noqa: S108 - the simulated machine's
}
"""Permissions that are not the usual ones."""


def box_tree() -> Tree:
    """Everything on the root file system, by path without the leading slash; None: a directory."""
    tree: Tree = {f"boot/{name}": data for name, data in boot_files(RELEASE).items()}
    tree |= dict.fromkeys(EMPTY)
    texts = {
        "boot/loader.conf": LOADER_CONF,
        "boot/defaults/loader.conf": 'kernel="kernel"\nloader_conf_files="/boot/device.hints"\n',
        "etc/rc.conf": RC_CONF,
        "etc/defaults/rc.conf": 'sshd_enable="NO"\npowerd_enable="NO"\nntpd_enable="NO"\n',
        "etc/fstab": FSTAB,
        "etc/ttys": TTYS,
        "etc/crontab": CRONTAB,
        "etc/sysctl.conf": SYSCTL_CONF,
        "etc/newsyslog.conf": NEWSYSLOG,
        "etc/ntp.conf": NTP_CONF,
        "etc/hosts": HOSTS,
        "etc/resolv.conf": "# Generated by resolvconf\nnameserver 192.168.7.1\n",
        "etc/master.passwd": MASTER_TEXT,
        "etc/hostid": "1f6d2a60-86ab-11ee-9a3c-0800273b7a11\n",
        "etc/os-release": f'NAME=FreeBSD\nVERSION="{RELEASE}"\nVERSION_ID="14.0"\nID=freebsd\n',
        "etc/ssh/sshd_config": SSHD_CONFIG,
        "etc/ssh/ssh_config": "# Host *\n#   Port 22\n",
        "var/log/messages": "Nov 22 04:00:01 knox newsyslog[812]: logfile first created\n",
        "var/log/auth.log": "",
    }
    tree |= {path: text.encode() for path, text in texts.items()}
    tree |= {
        path[1:]: b"\x7fELF\2\1\1\t" + path.encode()
        if not path.startswith("/etc")
        else b"#!/bin/sh\n# rc.d script\n"
        for path in EXECUTABLE
    }
    return tree
