"""What observers read: messages, results and live views, folded from events."""

from outlive.projections.messages import (
    AssistantMessage,
    Message,
    ToolMessage,
    Transcript,
    UserMessage,
    messages_of,
)
from outlive.projections.observe import TextReset, observe_run, text_of
from outlive.projections.pending import Pending, pending_of
from outlive.projections.run_summary import (
    RunResult,
    fold_run,
    read_run,
    result_of,
    run_result,
    standing_result,
)
from outlive.projections.runs import RUN_STATUSES, RunInfo, RunPage, RunsQuery, RunsView
from outlive.projections.tasks import (
    TaskAttempt,
    TaskInfo,
    TaskProgress,
    TaskQuestion,
    observe_task,
    task_info,
)
from outlive.projections.timeline import (
    Outcome,
    Recovery,
    Span,
    StepMark,
    Timeline,
    timeline,
)
from outlive.projections.views import (
    Projection,
    Rows,
    ViewReader,
    ViewRows,
    ViewRunner,
    Views,
    check_projections,
)

__all__ = [
    "AssistantMessage",
    "Message",
    "Outcome",
    "Pending",
    "Projection",
    "RUN_STATUSES",
    "Recovery",
    "Rows",
    "RunInfo",
    "RunPage",
    "RunResult",
    "RunsQuery",
    "RunsView",
    "Span",
    "StepMark",
    "TaskAttempt",
    "TaskInfo",
    "TaskProgress",
    "TaskQuestion",
    "TextReset",
    "Timeline",
    "ToolMessage",
    "Transcript",
    "UserMessage",
    "ViewReader",
    "ViewRows",
    "ViewRunner",
    "Views",
    "check_projections",
    "fold_run",
    "messages_of",
    "observe_run",
    "observe_task",
    "pending_of",
    "read_run",
    "result_of",
    "run_result",
    "standing_result",
    "task_info",
    "text_of",
    "timeline",
]
