"""What is asked of a heartbeat, as it lies in the inbox: ids and data, nothing more."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from outlive.actors.heartbeat.commands import HeartbeatChanges


class CreateHeartbeatRequest(
    msgspec.Struct, frozen=True, kw_only=True, tag="create-heartbeat", gc=False
):
    """There is to be a heartbeat. `key` was drawn by who asks."""

    changes: HeartbeatChanges
    key: str
    by: str = ""


class UpdateHeartbeatRequest(
    msgspec.Struct, frozen=True, kw_only=True, tag="update-heartbeat", gc=False
):
    """It is to be otherwise."""

    changes: HeartbeatChanges
    by: str = ""


class PauseHeartbeatRequest(
    msgspec.Struct, frozen=True, kw_only=True, tag="pause-heartbeat", gc=False
):
    """It is not to be due for the time being."""

    reason: str = ""
    by: str = ""


class ResumeHeartbeatRequest(
    msgspec.Struct, frozen=True, kw_only=True, tag="resume-heartbeat", gc=False
):
    """It is to be due again, from now on."""

    by: str = ""


class RunHeartbeatRequest(msgspec.Struct, frozen=True, kw_only=True, tag="run-heartbeat", gc=False):
    """It is to fire now, with a run of this id."""

    run_id: str
    by: str = ""


class DeleteHeartbeatRequest(
    msgspec.Struct, frozen=True, kw_only=True, tag="delete-heartbeat", gc=False
):
    """It is not wanted any more."""

    by: str = ""


HeartbeatRequest: TypeAlias = (
    CreateHeartbeatRequest
    | UpdateHeartbeatRequest
    | PauseHeartbeatRequest
    | ResumeHeartbeatRequest
    | RunHeartbeatRequest
    | DeleteHeartbeatRequest
)
