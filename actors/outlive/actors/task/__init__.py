"""The task: one tool call that goes on in the background."""
