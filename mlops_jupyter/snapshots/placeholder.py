"""What stands in a restored object where a part of it could not be kept."""

from __future__ import annotations

from typing import Any, NoReturn

from mlops_jupyter.errors import NotFoundError


class Placeholder:
    """A part that a snapshot could not keep (a generator, a lock, a socket); touching it says so.

    Only its ``repr`` is quiet, so that the object around it can be looked at.

    Args:
        kind: The type that the part had.
        reason: Why it could not be kept.
    """

    __slots__ = ("kind", "reason")

    kind: str
    reason: str

    def __init__(self, kind: str, reason: str) -> None:
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "reason", reason)

    def __repr__(self) -> str:
        """Say what stood here."""
        return f"<placeholder for {self.kind}: {self.reason}>"

    def __reduce__(self) -> tuple[object, ...]:
        """Let a later snapshot keep what is known of the part."""
        return Placeholder, (self.kind, self.reason)

    def __getattr__(self, name: str) -> NoReturn:
        """Raise: the part is not here.

        Raises:
            AttributeError: Python or a front end only asks whether the object has such a method.
            NotFoundError: Code wants to use the part.
        """
        if name.startswith("_"):
            raise AttributeError(name)
        self._touched()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Raise: the part is not here."""
        self._touched()

    def _touched(self, *_arguments: Any, **_options: Any) -> NoReturn:
        raise NotFoundError(
            f"a {self.kind} stood here and is not in the snapshot: {self.reason}",
            "run the cell again that made it",
        )

    # Python looks these up on the type, past __getattr__.
    __call__ = __iter__ = __next__ = __enter__ = __exit__ = __len__ = __bool__ = _touched
    __getitem__ = __setitem__ = __delitem__ = __contains__ = __await__ = __aiter__ = _touched
    __add__ = __radd__ = __sub__ = __mul__ = __lt__ = __gt__ = __int__ = __float__ = _touched
