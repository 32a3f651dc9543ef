"""What a version's approval says, and whether it may be believed.

Written by promotion as the tag `luthier.approval`: the signed JSON of {version, identity, packet_sha256, decision, by,
at, airflow_run}. The packet is the page that the person was shown, kept in the run's artifacts by its own sha256.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tasks.data.signing import require_signed
from tasks.errors import SealError

APPROVAL = "luthier.approval"


def told(tags: Mapping[str, str]) -> Mapping[str, Any] | None:
    """The document as it stands on the version, believed or not; none where there is none, or it is no JSON object."""
    try:
        document = json.loads(tags.get(APPROVAL, ""))
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def sentence(tags: Mapping[str, str]) -> str:
    """Who said what about the version, in a few words."""
    document = told(tags)
    if document is None:
        return "none"
    words = {"approve": "approved", "reject": "rejected"}
    said = words.get(str(document.get("decision")), "unreadable")
    return f"{said} by {document.get('by')}, {document.get('at')}"


def faults(
    tags: Mapping[str, str],
    number: int,
    required: bool,
    known: Collection[str],
    packet: Callable[[str], bytes | None],
) -> list[str]:
    """What is wrong with the approval of a version, as sentences without their full stop.

    Args:
        tags: of the version.
        number: of the version.
        required: whether it was made champion where params.yaml asks for an approval.
        known: public keys whose signature counts.
        packet: the bytes of the packet with this sha256, or None where it is gone.
    """
    if APPROVAL not in tags:
        return ["there is none, though the version was promoted and params.yaml asks for one"] if required else []
    document = told(tags)
    if document is None:
        return [f"the tag {APPROVAL} is no JSON any more"]
    try:
        bare = require_signed(dict(document), "the approval", known)
    except SealError as error:
        return [str(error).rstrip(".")]
    found = []
    if (str(bare["version"]), bare["identity"]) != (str(number), tags.get("luthier.identity")):
        found.append(f"it is of version {bare['version']} and not of this one")
    if required and bare["decision"] != "approve":
        found.append(f"{bare['by']} decided '{bare['decision']}', and the version was promoted")
    shown = packet(bare["packet_sha256"])
    place = f"packets/{bare['packet_sha256']}.md"
    if shown is None:
        found.append(f"the packet that was shown ({place}) is not among the run's artifacts")
    elif hashlib.sha256(shown).hexdigest() != bare["packet_sha256"]:
        found.append(f"the packet that was shown ({place}) has other bytes")
    return found
