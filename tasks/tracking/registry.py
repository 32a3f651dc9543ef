"""MLflow's registry: versions of a registered model, their tags, and the aliases that point to them.

A version is found by the digest of its content before it is made, so a step that was killed half-way, or is
run twice, comes to the same version. An alias moves at once but has no history: its past is kept in tags.
Truth: mlflow 3.17, `mlflow/tracking/client.py`.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.tracking.server import address, bare, client, error_code, insist, refusals, uri

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
    """The version whose content has this digest: the first, should there be several for a moment."""
    found = _versions(name, identity)
    return found[0] if found else None


def _versions(name: str, identity: str) -> list[Version]:
    client()
    with refusals():
        found = client().search_model_versions(f"name = '{name}' and tags.`{IDENTITY}` = '{identity}'")
    return sorted((_version(one) for one in found), key=lambda version: version.number)


def get_version(name: str, alias_or_number: str) -> Version | None:
    """The version that an alias or a number names now."""
    client()
    get = client().get_model_version if alias_or_number.isdigit() else client().get_model_version_by_alias
    with refusals():
        try:
            return _version(get(name, alias_or_number))
        except Exception as error:  # an alias that is not set is an "invalid parameter" to MLflow
            if error_code(error) in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise


def _version(found: Any) -> Version:
    return Version(str(found.name), int(found.version), str(found.run_id), dict(found.tags))


def add_version(name: str, run_id: str, model_id: str, description: str, tags: Mapping[str, str]) -> Version:
    """The version of `name` with these tags' `IDENTITY`: found, or made of a logged model; there is never a second.

    MLflow gives no key to a request: one that was answered too late and is sent again, or two who register at once,
    make two versions. The first stays, and each that finds a later one takes it away.
    """
    make_model(name)
    identity = tags[IDENTITY]
    with refusals():
        if find_version(name, identity) is None:
            source = f"models:/{model_id}"
            try:
                client().create_model_version(
                    name, source, run_id, dict(tags), description=description, model_id=model_id
                )
            except Exception:
                if find_version(name, identity) is None:  # else: made, and only the answer was lost
                    raise
        first, *later = _versions(name, identity)
        for version in later:
            _delete(version)
    return first


def make_model(name: str) -> None:
    """A registered model of this name, if there is none."""
    client()
    with refusals():
        try:
            client().create_registered_model(name)
        except Exception as error:
            if error_code(error) != "RESOURCE_ALREADY_EXISTS":
                raise


def _delete(version: Version) -> None:
    try:
        client().delete_model_version(version.name, str(version.number))
    except Exception as error:  # another was faster
        if error_code(error) != "RESOURCE_DOES_NOT_EXIST":
            raise


def add_tags(version: Version, tags: Mapping[str, str]) -> None:
    """Write tags on a version."""
    for key, value in tags.items():
        insist(functools.partial(client().set_model_version_tag, version.name, str(version.number), key, value))


def set_alias(alias: str, version: Version) -> None:
    """Point an alias to a version, wherever it was."""
    insist(functools.partial(client().set_registered_model_alias, version.name, alias, str(version.number)))


def page(version: Version) -> str:
    """Where a person looks at the version."""
    where = bare(address())
    if where.startswith("http"):
        return f"{where.rstrip('/')}/#/models/{version.name}/versions/{version.number}"
    return f"{version.uri} in {uri()}"
