"""The sidebar's way into the kernel: a silent request that evaluates :func:`call` and reads its JSON."""

from __future__ import annotations

import json
from typing import Any

from mlops_jupyter.arguments import parse_body
from mlops_jupyter.display import Shown, document_of
from mlops_jupyter.errors import NotFoundError, translate
from mlops_jupyter.session import SESSION_COMMANDS


class Answer:
    """A JSON document, as Jupyter's display system carries it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"application/json": self.document, "text/plain": json.dumps(self.document)}


def call(verb: str, body: str) -> Answer:
    """Carry out a verb that needs the live namespace.

    Args:
        verb: Which.
        body: Its arguments as a JSON object.

    Returns:
        ``{"ok", "result"}`` or ``{"error": {"message", "hint"}}``.
    """
    from IPython.core.getipython import get_ipython

    from mlops_jupyter.kernel import load

    try:
        command = SESSION_COMMANDS.get(verb)
        if command is None:
            raise NotFoundError(f"there is no verb {verb!r} for a notebook", "`%mlops help` lists what there is")
        session = load(get_ipython()).session
        result: Shown = command.call(session, parse_body(command, json.loads(body)))
        document = {"ok": result.ok, "result": document_of(result)}
        json.dumps(document)  # what is no JSON must be told as an error, and not be found out when it is sent
        return Answer(document)
    except Exception as error:
        return Answer(translate(error).to_json())
