"""The view of all runs: what lists show of each, and how it is asked."""

from outlive.projections.runs.info import RUN_STATUSES, RunInfo, RunPage
from outlive.projections.runs.query import RunsQuery
from outlive.projections.runs.view import RunsView

__all__ = ["RUN_STATUSES", "RunInfo", "RunPage", "RunsQuery", "RunsView"]
