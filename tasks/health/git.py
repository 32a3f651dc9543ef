"""git, asked without a lock and without changing anything."""

import os
import subprocess
from pathlib import Path


def asked(root: Path, *arguments: str) -> str:
    """What a git command prints; nothing where it has no answer, or there is no git."""
    return told(root, *arguments)[0]


def told(root: Path, *arguments: str) -> tuple[str, str]:
    """(what a git command prints, why it failed)."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True, text=True, errors="replace", check=False, timeout=20,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    if done.returncode:
        return "", (done.stderr.strip().splitlines() or ["without a word"])[0]
    return done.stdout.rstrip("\n"), ""
