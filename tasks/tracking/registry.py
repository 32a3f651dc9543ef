"""MLflow's registry: versions of a registered model, their tags, and the aliases that point to them.

A version is found by the digest of its content before it is made, so a step that was killed half-way, or is
run twice, comes to the same version. An alias moves at once but has no history: its past is kept in tags.
Truth: mlflow 3.17, `mlflow/tracking/client.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.errors import TrackingError
from tasks.tracking.server import address, client, refusals, uri

IDENTITY = "luthier.identity"


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    name: str
    number: int
    run_id: str
    tags: dict[str, str]

    @property
    def uri(self) -> str:
        """What `mlflow.pyfunc.load_model` takes."""
        return f"models:/{self.name}/{self.number}"


def find_version(name: str, identity: str) -> Version | None:
    """The version whose content has this digest."""
    client()
    with refusals():
        found = client().search_model_versions(f"name = '{name}' and tags.`{IDENTITY}` = '{identity}'")
    return _version(found[0]) if found else None


def get_version(name: str, alias_or_number: str) -> Version | None:
    """The version that an alias or a number names now."""
    client()
    get = client().get_model_version if alias_or_number.isdigit() else client().get_model_version_by_alias
    with refusals():
        try:
            return _version(get(name, alias_or_number))
        except Exception as error:  # an alias that is not set is an "invalid parameter" to MLflow
            if getattr(error, "error_code", None) in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise


def _version(found: Any) -> Version:
    return Version(str(found.name), int(found.version), str(found.run_id), dict(found.tags))


def add_version(name: str, run_id: str, model_id: str, description: str, tags: Mapping[str, str]) -> Version:
    """Make a logged model a version of the registered model `name`, which is made too if it is not there.

    One of the tags is `IDENTITY`, by which `find_version` finds it.
    """
    with refusals():
        try:
            client().create_registered_model(name)
        except Exception as error:
            if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
                raise
        made = client().create_model_version(
            name,
            f"models:/{model_id}",
            run_id,
            dict(tags),
            description=description,
            model_id=model_id,
        )
    return _version(made)


def add_tags(version: Version, tags: Mapping[str, str]) -> None:
    """Write tags on a version."""
    with refusals():
        for key, value in tags.items():
            client().set_model_version_tag(version.name, str(version.number), key, value)


def set_alias(alias: str, version: Version) -> None:
    """Point an alias to a version, wherever it was."""
    with refusals():
        client().set_registered_model_alias(version.name, alias, str(version.number))


def move_alias(alias: str, version: Version, expected: Version | None) -> None:
    """Point an alias to a version, if it is still where it was when that was decided.

    Raises:
        TrackingError: somebody else moved it, before or while we did.
    """
    _require(alias, version.name, expected)
    set_alias(alias, version)
    _require(alias, version.name, version)


def _require(alias: str, name: str, expected: Version | None) -> None:
    now, due = (f"version {v.number}" if v else "no version" for v in (get_version(name, alias), expected))
    if now != due:
        raise TrackingError(
            f"the alias '{alias}' of '{name}' is at {now} and not at {due}: somebody else moved it. "
            "Run this again to decide on what is there now."
        )


def page(version: Version) -> str:
    """Where a person looks at the version."""
    where = address()
    if where.startswith("http"):
        return f"{where.rstrip('/')}/#/models/{version.name}/versions/{version.number}"
    return f"{version.uri} in {uri()}"
