"""IPython's syntax taken out of a cell: a name stands for each magic, and what is left is Python.

A magic keeps its lines, so that blocks and line numbers stay as they are. What it reads and binds is known where its
arguments are Python (``%time``, ``%mlops log``) or are expanded (``{expr}``, ``$name``); nothing of it is executed, and
IPython is not needed.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import Formatter

# The options of the magics whose argument is Python, and is not expanded.
_TIMED = {
    "time": r"--[\w-]+",
    "timeit": r"-[nrpv]\s*\S+|-[tcqo]+",
    "prun": r"-[lsTD]\s*\S+|-[rq]+",
    "debug": r"(?:-b|--breakpoint)\s*\S+",
}
_BLANK_LINES = re.compile(r"(?:[ \t]*\n)+")
_INDENT = re.compile(r"[ \t]*")
_CONTINUED = re.compile(r"[^\n]*(?:(?<=\\)\n[^\n]*)*")
_HELP = re.compile(r"[\w*\]]\?{1,2}\s*$")
# What tells a magic from the same characters in strings, comments and brackets.
_TOKEN = re.compile(
    r'"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"""'
    r"|'''[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*'''"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'(?:[^'\\\n]|\\.)*'"
    r"|\#[^\n]*"
    r"|\\\n"
    r"|(?P<bracket>[()\[\]{}])|(?P<end>\n)|(?P<assigned>=[ \t]*(?=[%!]))|(?P<asked>\?{1,2}[ \t]*(?=\n|\Z))",
    re.DOTALL,
)
_PIECE = re.compile(r"\"[^\"]*\"|'[^']*'|[()\[\]{}]|\s+|[^\s\"'()\[\]{}]+|.")
_DOLLAR = re.compile(r"\$(\$?)([^\W\d]\w*)")


@dataclass(frozen=True)
class Magic:
    """What a magic does to variables, as Python.

    Args:
        statements: Stand for what it reads and binds.
        apart: Whether they run in a function of their own, as what is timed many times does.
    """

    statements: Sequence[ast.stmt] = ()
    apart: bool = False


class Cell:
    """A cell on its way to Python.

    Args:
        source: The cell; no name of it is taken for a magic.
    """

    def __init__(self, source: str) -> None:
        self.magics: dict[str, Magic] = {}
        self._prefix = "_magic"
        while self._prefix in source:
            self._prefix += "_"

    def statements(self, source: str) -> list[ast.stmt]:
        """Parse a cell, the body of a cell magic, or what a line magic executes.

        Args:
            source: With IPython's syntax.

        Returns:
            Python, with a name of :attr:`magics` for each magic; top-level ``await`` is as good as anywhere.

        Raises:
            SyntaxError: It is no Python, even without IPython's syntax.
            ValueError: It has characters that no source may have.
        """
        try:
            return ast.parse(source).body  # valid Python has no magic in it
        except SyntaxError:
            text = source.replace("\r\n", "\n")
        blank = _BLANK_LINES.match(text)
        text = textwrap.dedent(text[blank.end() :] if blank else text)
        first, _, body = text.partition("\n")
        if first.startswith("%%") and not _HELP.search(first):
            name, _, line = first[2:].rstrip().partition(" ")
            return self._cell_magic(name, line.strip(), body)
        return ast.parse(self._without_magics(text)).body

    def _cell_magic(self, name: str, line: str, body: str) -> list[ast.stmt]:
        if name in _TIMED:
            both = [*self.statements(_without_options(name, line)), *self.statements(body)]
            return [ast.Expr(self._stand_in(Magic(both, apart=True)))] if name == "timeit" else both
        reads = _loads([*_expanded(line), *(_of_mlops(line) if name == "mlops" else ())])
        words = line.split()
        if name == "mlops" and words[:1] == ["run"] and words[-1] not in ("-h", "--help"):
            return reads + self.statements(body)
        if name == "capture":
            into = [ast.Name(word, ast.Store()) for word in words if word.isidentifier()][:1]
            return [*reads, *self.statements(body), *(ast.Assign([target], ast.Constant(None)) for target in into)]
        return reads

    def _without_magics(self, text: str) -> str:
        """Put a name in the place of each magic; every line stays where it is."""
        done, position = [], 0
        while position < len(text):
            start, end = _logical_line(text, position)
            done.append(text[position:start])
            if start < end:
                done += [self._stand_in(self._line_magic(text[start:end])).id, "\n" * text.count("\n", start, end)]
            done.append(text[end : end + 1])
            position = end + 1
        return "".join(done)

    def _stand_in(self, magic: Magic) -> ast.Name:
        name = f"{self._prefix}{len(self.magics)}"
        self.magics[name] = magic
        return ast.Name(name, ast.Load())

    def _line_magic(self, text: str) -> Magic:
        text = text.replace("\\\n", " ")
        if text[0] not in "%!" or _HELP.search(text):
            return Magic()
        name, _, rest = text[1:].partition(" ")
        if text[0] == "!":
            return Magic(_loads(_expanded(text)))
        if name in _TIMED:
            try:
                return Magic(self.statements(_without_options(name, rest)), apart=name == "timeit")
            except (SyntaxError, ValueError):
                return Magic()  # the magic fails where it stands; what is around it is Python all the same
        return Magic(_loads([*_expanded(rest), *(_of_mlops(rest) if name == "mlops" else ())]))


def _logical_line(text: str, position: int) -> tuple[int, int]:
    """Give where a magic begins in the line of Python at a position, and where it ends; both the end when none does."""
    indent = _INDENT.match(text, position)
    first = indent.end() if indent else position
    if text[first : first + 1] in ("%", "!", "?"):
        return first, _end_of_continued(text, first)
    depth = 0
    for token in _TOKEN.finditer(text, position):
        if token["bracket"]:
            depth = max(0, depth + (1 if token[0] in "([{" else -1))
        elif depth == 0 and token["end"]:
            return token.start(), token.start()
        elif depth == 0 and token["assigned"]:
            return token.end(), _end_of_continued(text, token.end())
        elif depth == 0 and token["asked"]:
            return first, token.end()
    return len(text), len(text)


def _end_of_continued(text: str, position: int) -> int:
    line = _CONTINUED.match(text, position)
    return line.end() if line else position


def _without_options(name: str, line: str) -> str:
    return re.sub(rf"\A(?:\s*(?:{_TIMED[name]})(?=\s|\Z))*\s*", "", line)


def _loads(expressions: Iterable[ast.expr | None]) -> list[ast.stmt]:
    return [ast.Expr(expression) for expression in expressions if expression is not None]


def _expression(text: str) -> ast.expr | None:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None


def _expanded(line: str) -> list[ast.expr | None]:
    """Give what IPython's ``{expr}`` and ``$name`` in a magic's line evaluate; inside '…' a dollar is the shell's."""
    try:
        pieces = list(Formatter().parse(line))
    except ValueError:
        return []  # IPython leaves such a line as it is
    found: list[ast.expr | None] = []
    for literal, expression, after_colon, _ in pieces:
        for unquoted in literal.split("'")[::-2]:
            found += [ast.Name(name, ast.Load()) for escaped, name in _DOLLAR.findall(unquoted) if not escaped]
        if expression:
            found.append(_expression(f"{expression}:{after_colon}" if after_colon else expression))
    return found


def _of_mlops(line: str) -> list[ast.expr | None]:
    """Give what a line of ``%mlops`` evaluates among the variables."""
    match _words(line):
        case ["log", "param" | "metric" | "tag" | "text" as what, *rest]:
            return [_value(word, texts=what != "metric") for word in rest if not word.startswith("-")]
        case ["log", "model" | "data" | "figure", *rest]:
            given = [word for before, word in pairwise(["", *rest]) if not before.startswith("--") or "=" in before]
            return [_expression(word) for word in given if word.isidentifier()]
        case ["run", *rest]:
            pairs = [word for before, word in pairwise(rest) if before in ("-p", "--param")]
            pairs += [word.partition("=")[2] for word in rest if word.startswith("--param=")]
            return [_value(pair, texts=True) for pair in pairs]
    return []


def _words(line: str) -> list[str]:
    """Split a line at white space outside of quotes and brackets; what is not closed is no word."""
    words, word, depth = [], "", 0
    for piece in [*_PIECE.findall(line), " "]:
        if piece.isspace() and depth <= 0:
            words += [word] if word else []
            word = ""
        else:
            depth += (piece in "([{") - (piece in ")]}")
            word += piece
    return words


def _value(word: str, *, texts: bool) -> ast.expr | None:
    """Give the expression of ``NAME=EXPR``; where texts are meant, quotes around a name or no Python make one."""
    _, _, value = (word[1:-1] if _is_quoted(word) else word).partition("=")
    if not _is_quoted(value):
        return _expression(value)
    inside = _expression(value[1:-1])
    return None if texts and isinstance(inside, ast.Name) else inside


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] in "\"'" and text.find(text[0], 1) == len(text) - 1
