"""Whole processes on virtual time: the loop, the disk, and what dies with a process."""
