"""DVC's settings, read as files: importing DVC takes longer than all checks together.

Truth: dvc 3.67, `dvc/config.py` and `dvc/config_schema.py`; of several files, the one nearest to the checkout counts.
"""

import configparser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.health.finding import Finding, error, not_checked, ok, or_ok, warning
from tasks.health.seen import Surroundings

AREA = "DVC"
TLS = "ssl_verify"


@dataclass(frozen=True)
class Setting:
    """One line of one of DVC's files."""

    file: Path
    committed: bool
    section: str
    """Such as core, or remote "storage"."""
    key: str
    value: str


def settings(seen: Surroundings) -> list[Setting]:
    """All settings that hold here, those of the user first and those of the checkout's own file last."""
    home = Path(seen.environment.get("HOME") or "~").expanduser()
    user = seen.environment.get("DVC_GLOBAL_CONFIG_DIR")
    above = Path(user) if user else Path(seen.environment.get("XDG_CONFIG_HOME") or home / ".config") / "dvc"
    files = [(above / "config", False), (seen.root / ".dvc/config", True), (seen.root / ".dvc/config.local", False)]
    return [setting for file, committed in files for setting in _lines(file, committed)]


def _lines(file: Path, committed: bool) -> Iterator[Setting]:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(file.read_text())
    except (OSError, UnicodeDecodeError, configparser.Error):
        return
    for section in parser.sections():
        for key, value in parser.items(section):
            yield Setting(file, committed, section.strip("'"), key, (value or "").strip().strip("\"'"))


def value_of(seen: Surroundings, section: str, key: str) -> str:
    """The value that counts; nothing where none is set."""
    values = [one.value for one in settings(seen) if one.section == section and one.key == key]
    return values[-1] if values else ""


def cache_of(seen: Surroundings) -> Path:
    """The folder of DVC's cache; a path in a file is relative to the folder of that file."""
    places = [one for one in settings(seen) if one.section == "cache" and one.key == "dir"]
    return (places[-1].file.parent / places[-1].value).resolve() if places else seen.root / ".dvc/cache"


def check(seen: Surroundings) -> list[Finding]:
    """Telemetry, remotes that are not verified, links that lead out of a model's folder."""
    if not (seen.root / ".dvc/config").is_file():
        return [error(AREA, "is not there: this is no DVC repository.", ".dvc/config", "git checkout -- .dvc")]
    found = []
    if value_of(seen, "core", "analytics").lower() != "false":
        fix = "dvc config core.analytics false"
        found.append(warning(AREA, "DVC reports to its makers.", ".dvc/config", fix))
    if "symlink" in value_of(seen, "cache", "type"):
        what = "Outputs are symbolic links: a registered model would be links into the cache, and not weights."
        found.append(warning(AREA, what, "cache.type", "dvc config cache.type reflink,hardlink,copy"))
    remotes = sorted({one.section for one in settings(seen) if one.section.startswith('remote "')})
    for section in remotes:
        found += _remote(seen, section)
    if not remotes:
        return [*found, ok(AREA, "no remote: the bytes of every run are in this machine's cache alone")]
    return or_ok(found, AREA, f"{len(remotes)} remote{'s' if len(remotes) > 1 else ''}, verified on download")


def _remote(seen: Surroundings, section: str) -> list[Finding]:
    name = section.partition('"')[2].rstrip('"')
    values = {one.key: one.value for one in settings(seen) if one.section == section}
    found, change = [], f"dvc remote modify {name}"
    if values.get("verify", "").lower() != "true":
        what = f"What comes from the remote '{name}' is taken without hashing it."
        found.append(warning(AREA, what, ".dvc/config", f"{change} verify true"))
    if values.get(TLS, "").lower() == "false":
        what = f"Anybody on the way can pose as the remote '{name}': its certificate is not verified."
        found.append(error(AREA, what, f"{TLS} = false", f"{change} {TLS} true, or the path of its certificate"))
    plain = [key for key in ("url", "endpointurl") if values.get(key, "").startswith("http://")]
    if plain and not any(host in values[plain[0]] for host in ("//127.0.0.1", "//localhost", "//[::1]")):
        found.append(warning(AREA, f"The remote '{name}' is spoken to in the clear.", plain[0], "use https://"))
    if "url" not in values:
        found.append(not_checked(AREA, f"the remote '{name}' has no url"))
    return found
