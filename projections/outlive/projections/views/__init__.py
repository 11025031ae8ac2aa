"""Read models: folded from the log, kept beside it, and built anew whenever they are lost."""

from outlive.projections.views.projection import Projection, check_projections
from outlive.projections.views.rows import Rows, ViewRows
from outlive.projections.views.runner import ViewRunner, Views
from outlive.projections.views.visiting import ViewReader

__all__ = [
    "Projection",
    "Rows",
    "ViewReader",
    "ViewRows",
    "ViewRunner",
    "Views",
    "check_projections",
]
