"""Tab completion: verbs, flags, and the names of runs, snapshots, models and variables."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from mlops_jupyter.errors import MlopsError

if TYPE_CHECKING:
    from mlops_jupyter.commands import Command, Parameter
    from mlops_jupyter.kernel.extension import Extension

_MOST = 50
#: A line of ours up to the cursor, also as `runs = %mlops runs`.
_OURS = re.compile(r"\s*(?:[\w.,\[\]'\" ]+=\s*)?%%?mlops[ \t](.*)$", re.DOTALL)


class Completer:
    """Completes what follows ``%mlops``.

    Args:
        extension: What serves the shell.
    """

    def __init__(self, extension: Extension) -> None:
        self._extension = extension

        # IPython marks a matcher with attributes, which a bound method has no room for.
        @context_matcher(identifier="mlops")  # type: ignore[untyped-decorator]
        def matcher(context: CompletionContext) -> SimpleMatcherResult:
            return self.match(context)

        #: What IPython is given; always the same object, so that it can be taken away again.
        self.matcher = matcher

    def match(self, context: CompletionContext) -> SimpleMatcherResult:
        """Give the words that may stand at the cursor (a matcher of IPython's, version 2).

        Where a word of ours fits nothing else is offered: what jedi knows of Python's names would bury it. The
        expression behind ``NAME=`` is Python, and left to IPython.

        Args:
            context: The text and where the cursor is.

        Returns:
            The completions of the word at the cursor.
        """
        line = _OURS.match(context.text_until_cursor.rpartition("\n")[2])
        typed = line[1] if line else ""
        words = typed.split()
        last = "" if typed[-1:].isspace() or not words else words.pop()
        found = self.words(words) if line and "=" not in last else []
        fitting = [SimpleCompletion(text=word, type="mlops") for word in found if word.startswith(last)]
        return {"completions": fitting, "matched_fragment": last, "suppress": bool(fitting), "ordered": True}

    def words(self, before: list[str]) -> list[str]:
        """Give the words that may follow others.

        Args:
            before: What stands between the magic and the cursor, but for the word at the cursor.

        Returns:
            The words, unsorted.
        """
        from mlops_jupyter.kernel.desk import COMMANDS

        head = " ".join(before)
        longer = [
            verb.split()[len(before)]
            for verb in COMMANDS
            if f"{verb} ".startswith(f"{head} " if head else "") and len(verb.split()) > len(before)
        ]
        command = next((COMMANDS[" ".join(before[:n])] for n in (3, 2, 1) if " ".join(before[:n]) in COMMANDS), None)
        if command is None:
            return sorted(set(longer))
        rest = before[len(command.verb.split()) :]
        return sorted(set(longer)) + self._arguments(command, rest)

    def _arguments(self, command: Command, rest: list[str]) -> list[str]:
        last = rest[-1] if rest else ""
        option = next((p for p in command.parameters if last and last in p.flags), None)
        if option is not None and option.kind is not bool:
            return self._values(option)
        flags = [p.flags[-1] for p in command.parameters if p.flags and p.flags[-1] not in rest]
        positional = [p for p in command.parameters if p.positional]
        return (self._values(positional[0]) if positional else []) + flags

    def _values(self, parameter: Parameter) -> list[str]:
        if parameter.choices:
            return list(parameter.choices)
        if parameter.name == "var":
            return [name for name in self._extension.shell.user_ns if not name.startswith("_")]
        sources: dict[str, Callable[[], list[str]]] = {
            "verb": lambda: sorted({verb.split()[0] for verb in self._commands()}),
            "run": self._runs,
            "snapshot": self._snapshots,
            "model": self._models,
            "alias": lambda: ["champion", "challenger"],
        }
        source = sources.get(parameter.completes)
        try:
            return source() if source else []
        except MlopsError:
            # A store that does not answer must not make the Tab key raise; the verb itself will say so.
            return []

    def _commands(self) -> list[str]:
        from mlops_jupyter.kernel.desk import COMMANDS

        return list(COMMANDS)

    def _runs(self) -> list[str]:
        runs = self._extension.session.workspace.runs.find(limit=_MOST)
        return ["@last", *(run.name for run in runs if " " not in run.name), *(run.run_id[:8] for run in runs)]

    def _snapshots(self) -> list[str]:
        table = self._extension.session.workspace.snapshots.list(limit=_MOST)
        return ["@last", *(row["name"] or row["snapshot"] for row in table.rows)]

    def _models(self) -> list[str]:
        rows = self._extension.session.workspace.registry.versions().rows
        refs = [f"{row['model']}/{row['version']}" for row in rows]
        aliased = [f"{row['model']}@{alias}" for row in rows for alias in row["aliases"]]
        return [*dict.fromkeys(row["model"] for row in rows), *refs, *aliased]
