"""Threads, as they are looked at from outside: one, lists of them, and what was said on them."""

from outlive.projections.threads.history import history
from outlive.projections.threads.info import ThreadInfo, ThreadMessage, ThreadPage
from outlive.projections.threads.query import ThreadsQuery
from outlive.projections.threads.view import ThreadsView

__all__ = [
    "ThreadInfo",
    "ThreadMessage",
    "ThreadPage",
    "ThreadsQuery",
    "ThreadsView",
    "history",
]
