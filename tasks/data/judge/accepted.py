"""data/accepted.json: the profiles of the data that was last accepted, which drift is measured from.

A person accepts data by `luthier accept` and a commit; until then later data is compared with what was accepted before.
"""

from pathlib import Path

from tasks.data.files import Row, read_json
from tasks.errors import DataError


def accepted_profiles(path: Path) -> dict[str, Row]:
    """The accepted profile of each source; none where nothing was accepted yet.

    Raises:
        DataError: the file is there and is not what `luthier accept` writes.
    """
    if not path.is_file():
        return {}
    try:
        profiles = read_json(path)["sources"]
        if all(isinstance(profile["rows"], int) and profile["columns"] is not None for profile in profiles.values()):
            return dict(profiles)
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    raise DataError(f"{path} is not what 'luthier accept' writes: restore it (git checkout {path}), or remove it.")
