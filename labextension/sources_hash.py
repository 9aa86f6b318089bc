"""A digest of what the front end is built from, kept beside the build to tell when it is stale.

The build itself cannot be compared byte by byte: the names in it depend on the folder it was made in.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
RECORD = HERE.parent / "mlops_jupyter" / "labextension" / "sources.sha256"

FOLDERS = ("src", "style", "schema")
FILES = ("package.json", "tsconfig.json", "yarn.lock")


def sources(root: Path) -> Iterator[Path]:
    """The files that the build depends on; tests do not count."""
    for folder in FOLDERS:
        for path in (root / folder).rglob("*"):
            if path.is_file() and "__tests__" not in path.relative_to(root).parts:
                yield path
    for name in FILES:
        yield root / name


def compute(root: Path) -> str:
    """The SHA-256 of the sources under `root`, a checkout's `labextension`, in hexadecimal.

    Names and contents count, line endings do not: Git may change them on checkout.
    """
    total = hashlib.sha256()
    named = {path.relative_to(root).as_posix(): path for path in sources(root)}
    for name in sorted(named):
        content = named[name].read_bytes().replace(b"\r\n", b"\n")
        total.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()


def main(argv: list[str] | None = None) -> int:
    """Write the digest beside the build, or say whether the one there still holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="record the digest beside the build")
    action.add_argument("--check", action="store_true", help="exit with 1 when the build is stale")
    wanted = parser.parse_args(argv)
    digest = compute(HERE)
    if wanted.write:
        RECORD.write_text(digest + "\n", encoding="ascii")
        return 0
    recorded = RECORD.read_text(encoding="ascii").strip() if RECORD.exists() else None
    if recorded == digest:
        return 0
    print("The built front end does not match its sources.", file=sys.stderr)
    print("Run `jlpm install && jlpm build:prod` in labextension/.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
