"""The run as an actor: commands, `decide`, and what its effects do to the world."""
