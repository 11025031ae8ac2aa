"""The thread: a conversation, and the lock on it."""
