"""zrwizard: a wizard that restores root-on-ZFS FreeBSD machines over any console."""

__version__ = "0.1.0"
