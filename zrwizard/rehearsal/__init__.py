"""Simulated machines behind a telnet server: the whole restore without touching anything."""

from zrwizard.rehearsal.errors import RehearsalUnavailable
from zrwizard.rehearsal.scenario import SCENARIOS, Scenario, Start, scenario
from zrwizard.rehearsal.world import Rehearsal, variant

__all__ = [
    "SCENARIOS",
    "Rehearsal",
    "RehearsalUnavailable",
    "Scenario",
    "Start",
    "scenario",
    "variant",
]
