"""Runs of the pipeline, each in a workspace of its own: a branch says what it is, a worktree is where it works."""
