"""What observers read of heartbeats: each of them, lists, and what has become of their instants."""

from outlive.projections.heartbeats.fires import FireInfo, FirePage, read_fires
from outlive.projections.heartbeats.info import (
    HEARTBEAT_STATUSES,
    HeartbeatInfo,
    HeartbeatLastFire,
    HeartbeatPage,
    heartbeat_info,
)
from outlive.projections.heartbeats.query import HeartbeatsQuery
from outlive.projections.heartbeats.view import HeartbeatsView

__all__ = [
    "HEARTBEAT_STATUSES",
    "FireInfo",
    "FirePage",
    "HeartbeatInfo",
    "HeartbeatLastFire",
    "HeartbeatPage",
    "HeartbeatsQuery",
    "HeartbeatsView",
    "heartbeat_info",
    "read_fires",
]
