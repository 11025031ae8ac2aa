"""`outlive demo`: a research agent that is killed twice and finishes all the same."""
