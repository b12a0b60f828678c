"""Whether the pocket world's aims must be tried again: what determines their scores, as the last green run
saw it.

The aims (``tests/test_bars.py``) take a quarter of an hour, so CI tries them only when the pocket world or
what trains and scores on it has changed since the run that ``tests/aims.json`` records. After a green run:

    pytest -m slow -n 0 tests/test_bars.py && python tests/aims.py --renew

and commit the file. Without ``--renew``: exit status 0 if nothing has changed, 1 otherwise.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "tests" / "aims.json"
# What determines the scores; installed libraries are left to their versions in pyproject.toml.
PLACES = (
    "xadapt/data/pocket",
    "xadapt/backbone",
    "xadapt/kinds",
    "xadapt/mount",
    "xadapt/train",
    "xadapt/study/versions.py",
    "tests/test_bars.py",
)


def digests() -> dict[str, str]:
    """Of every place, over the names and bytes of its files."""
    found = {}
    for place in PLACES:
        seen = hashlib.sha256()
        files = [ROOT / place, *sorted((ROOT / place).rglob("*"))]
        for file in files:
            if file.is_file() and file.suffix != ".pyc":
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                seen.update(f"{file.relative_to(ROOT).as_posix()} {content}\n".encode())
        found[place] = seen.hexdigest()[:16]
    return found


def main() -> int:
    now = digests()
    if "--renew" in sys.argv[1:]:
        RECORD.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
        return 0
    last = json.loads(RECORD.read_text(encoding="utf-8"))
    changed = [place for place in PLACES if now[place] != last.get(place)]
    if changed:
        print("the pocket world's aims are tried: changed since they last held:", ", ".join(changed))
    else:
        print("the pocket world's aims are not tried: nothing that determines them has changed")
    return int(bool(changed))


if __name__ == "__main__":
    sys.exit(main())
