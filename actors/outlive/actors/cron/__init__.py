"""Schedules in cron's notation: how they are read, and the instants that they name."""

from outlive.actors.cron.cron import Cron

__all__ = ["Cron"]
