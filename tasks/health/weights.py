"""Files of models that run code when they are loaded, or lead elsewhere.

Truth: FAULTS, section 3: safetensors alone, no symbolic link in a registered folder.
"""

from tasks.health.dvc import cache_of
from tasks.health.finding import Finding, error, or_ok, warning
from tasks.health.seen import Surroundings

AREA = "weights"
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"}


def check(seen: Surroundings) -> list[Finding]:
    """models/ of this checkout."""
    found = []
    cache = cache_of(seen).resolve()
    for path in sorted((seen.root / "models").glob("**/*")):
        where = seen.named(path)
        if path.is_symlink():
            target = path.resolve()
            if target.is_relative_to(cache) or target.is_relative_to(seen.root.resolve()):
                what = "is a symbolic link: registered, it would be a link and not the bytes."
                found.append(warning(AREA, what, where, "dvc config cache.type reflink,hardlink,copy; dvc checkout"))
            else:
                what = f"leads out of the checkout, to {target}: what is registered could be changed from there."
                found.append(error(AREA, what, where, f"put the file itself there: cp --remove-destination {target} ."))
        elif path.suffix in PICKLES and path.is_file():
            what = "is a pickle, which runs code when it is loaded."
            found.append(error(AREA, what, where, f"rm {where}; models are saved as safetensors"))
        elif path.suffix == ".py":
            found.append(error(AREA, "is code that came with a model.", where, f"rm {where}; it is never needed"))
    here = any((seen.root / "models" / name).is_dir() for name in ("base", "tuned"))
    said = "models/ holds safetensors alone, and no link" if here else "no model is here yet"
    return or_ok(found[:10], AREA, said)
