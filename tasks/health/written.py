"""Secrets written where git, a run's branch or MLflow would carry them on: found by name and pattern, never shown."""

import re
import stat
from pathlib import Path

import yaml

from tasks.data.secrets import NAME, PATTERNS, secret_keys
from tasks.health import dvc
from tasks.health.finding import Finding, error, or_ok, warning
from tasks.health.git import asked
from tasks.health.seen import Surroundings

AREA = "written secrets"
NEVER_TRACKED = ("*.pem", "*.key", "*.p12", "*.pfx", ".env", "*/.env", ".env.*", ".netrc", ".pgpass",
                 ".dvc/config.local", ".airflow", ".luthier")  # fmt: skip


def check(seen: Surroundings) -> list[Finding]:
    """The files that are committed, and the one that is not."""
    found: list[Finding] = []
    for path in [seen.root / "params.yaml", seen.root / "dvc.yaml", *sorted((seen.root / "dags").glob("*.y*ml"))]:
        found += _in_file(seen, path)
    found += _in_dvc_config(seen)
    for name in asked(seen.root, "ls-files", "--", *NEVER_TRACKED).splitlines():
        fix = f"git rm --cached {name}, add it to .gitignore, and replace the secret: history keeps it"
        found.append(error(AREA, "is committed.", name, fix))
    found += _in_git_config(seen)
    return or_ok(found, AREA, "none in params.yaml, dvc.yaml, dags/ or .dvc/config, by name and by pattern")


def _in_file(seen: Surroundings, path: Path) -> list[Finding]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        return []
    fix = "take it out, replace the secret (git and MLflow keep the old one), and export it instead"
    found = [
        error(AREA, f"holds what looks like {word}.", f"{seen.named(path)}, line {number}", fix)
        for number, line in enumerate(text.splitlines(), 1)
        for word, pattern in PATTERNS.items()
        if pattern.search(line)
    ]
    try:
        document = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return found  # which `declared` says
    return found + [
        error(AREA, f"holds a value under '{key}', which names a secret.", seen.named(path), fix)
        for key in secret_keys(document)
    ]


def _in_git_config(seen: Surroundings) -> list[Finding]:
    """Addresses of git's remotes: whoever reads .git/config, or an error of git's, has what is in them."""
    lines = asked(seen.root, "config", "--get-regexp", r"^(remote\..*\.(push)?url|url\..*\.insteadof)$").splitlines()
    found = []
    for line in lines:
        name, _, url = line.partition(" ")
        if any(re.search(r"https?://[^/\s@]{20,}@|\w://[^/\s:@]*:[^/\s]+@", text) for text in (name, url)):
            remote = name.split(".")[1] if name.startswith("remote.") else ""
            fix = f"git remote set-url {remote or 'NAME'} URL, without it; git config credential.helper store, or ssh"
            found.append(error(AREA, "holds a login inside a URL.", f".git/config, remote '{remote}'", fix))
    return found


def _in_dvc_config(seen: Surroundings) -> list[Finding]:
    found = []
    for setting in dvc.settings(seen):
        by_name = NAME.search(setting.key) or setting.key in {"connection_string", "sas_token", "account_key"}
        by_pattern = any(pattern.search(setting.value) for pattern in PATTERNS.values())
        if not setting.value or not (by_name or by_pattern):
            continue
        if setting.committed:
            remote = setting.section.partition('"')[2].rstrip('"')
            what = f"holds '{setting.key}' of the remote '{remote}'; this file is committed."
            fix = f"dvc remote modify --local {remote} {setting.key} ..., take it out here, and replace the secret"
            found.append(error(AREA, what, seen.named(setting.file), fix))
        elif setting.file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            where = seen.named(setting.file)
            found.append(warning(AREA, f"holds '{setting.key}', and others can read it.", where, f"chmod 600 {where}"))
    return found
