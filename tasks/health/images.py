"""Images: which bytes a container is started from, and who it runs as.

Truth: FAULTS, section 3; docs.docker.com/reference/dockerfile.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.health.finding import Finding, error, warning

AREA = "containers"
FOLDER = Path("docker")
SECRET_PLACES = (".git", ".airflow", ".luthier", ".dvc")  # of a checkout: keys, passwords, credentials
IN_DOCKER = ("docker/.env", "docker/*.pem")
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<how>:?[-?+])(?P<rest>[^}]*))?\}|\$(?P<bare>[A-Za-z_]\w*)")
FROM = re.compile(r"^FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.MULTILINE | re.IGNORECASE)
ARG = re.compile(r"^ARG\s+(\w+)=(\S+)", re.MULTILINE | re.IGNORECASE)
USER = re.compile(r"^USER\s+(\S+)", re.MULTILINE | re.IGNORECASE)


def built_or_pinned(where: str, service: Mapping[str, Any], images: Mapping[str, str]) -> Iterator[Finding]:
    """Whether a service's image is always the same one; what it is built from, `image_file` looks at."""
    build = service.get("build")
    if build:
        file = Path(build.get("dockerfile", "Dockerfile") if isinstance(build, dict) else "Dockerfile").name
        if file not in images:
            yield error(AREA, f"is built from {file}, which is not there.", where, f"write {FOLDER}/{file}")
        return
    image = filled(str(service.get("image", "")), {})
    yield from _pinned(where, image, "image:")


def _pinned(where: str, image: str, word: str) -> Iterator[Finding]:
    fix = f"{word} {image.partition('@')[0]}@sha256:... ('docker buildx imagetools inspect' prints it)"
    tag = image.rpartition("/")[2].partition(":")[2]
    if re.search(r"@sha256:[0-9a-f]{64}$", image):
        return
    if not tag or tag == "latest" or not any(sign.isdigit() for sign in tag):
        yield error(AREA, f"takes whatever '{image}' is that day.", where, fix)
    else:
        yield warning(AREA, f"names '{image}' by its tag, which can be moved.", where, fix)


def image_file(where: str, text: str) -> Iterator[Finding]:
    """Its base image, and who it runs as."""
    joined = text.replace("\\\n", " ")
    defaults = dict(ARG.findall(joined))
    stages: set[str] = set()
    for base, alias in FROM.findall(joined):
        image = filled(base, defaults)
        if image not in stages and image != "scratch":
            yield from _pinned(where, image, "FROM")
        stages |= {alias, image}  # each is told once
    users = USER.findall(joined)
    if not users or users[-1].partition(":")[0] in {"0", "root"}:
        yield error(AREA, "ends as root.", where, "USER UID:GID as its last user")


def kept_out(root: Path) -> Iterator[Finding]:
    """Whether an image that copies the checkout leaves out what must be in none: keys, passwords, state."""
    where = ".dockerignore"
    try:
        lines = {line.strip() for line in (root / where).read_text().splitlines()}
    except OSError:
        lines = set()
    named = set(SECRET_PLACES) if lines & {"*", "**"} else {place for place in SECRET_PLACES if place in lines}
    lacking = [place for place in SECRET_PLACES if place not in named or f"!{place}" in lines]
    lacking += [place for place in IN_DOCKER if place not in lines]
    if lacking:
        what = f"lets {', '.join(lacking)} into an image, where every layer keeps it."
        yield error(AREA, what, where, "**, and !NAME for what an image needs; docker/.env and docker/*.pem after them")


def filled(text: str, variables: Mapping[str, str]) -> str:
    """A text with its variables put in; one that has neither value nor default is left out."""

    def value(found: re.Match[str]) -> str:
        name = found["name"] or found["bare"]
        default = found["rest"] if found["name"] and found["how"] in {"-", ":-"} else ""
        return variables.get(name) or default or ""

    return VARIABLE.sub(value, text)
