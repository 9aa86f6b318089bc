"""``%%mlops run`` on top of a cell, turned into a call in its first line."""

from __future__ import annotations

_MAGIC = "%%mlops"


def rewrite(lines: list[str]) -> list[str]:
    """Turn a first line ``%%mlops run …`` into the call that opens the run (an IPython input transformer)."""
    if not lines or not lines[0].startswith(_MAGIC):
        return lines
    first = lines[0].rstrip("\n")
    words = first[len(_MAGIC) :].split(maxsplit=1)
    if not words or words[0] != "run":
        return lines
    rest = words[1] if len(words) > 1 else ""
    if rest.split()[-1:] in (["-h"], ["--help"]):
        return lines  # whoever asks for help does not mean the cell to be executed
    if next((line for line in lines[1:] if line.strip()), "").startswith("%%"):
        return lines  # another cell magic, such as %%time, must come first in what is executed
    call = f"get_ipython().run_line_magic('mlops', {'run ' + rest!r})\n"
    return [call, *lines[1:]]
