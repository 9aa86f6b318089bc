"""Which variables a cell reads and writes: Python's rules, IPython's syntax, and what execution shows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_jupyter.cell_names import Names, names_of


def names(read: str = "", written: str = "") -> Names:
    return Names(tuple(sorted(read.split())), tuple(sorted(written.split())))


NOTHING = names()


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("x = y = 1", "x y"),
        ("a, (b, *c) = [d, e] = 1, (2, 3)", "a b c d e"),
        ("x: int = 1", "x"),
        ("x: int", ""),
        ("print(x := 1)", "x"),
        ("[last := i for i in range(3)]", "last"),
        ("for i, j in (): pass", "i j"),
        ("with open('f') as f, open('g') as (g, h): pass", "f g h"),
        ("try:\n  pass\nexcept OSError as e:\n  pass", "e"),
        ("try:\n  pass\nexcept* OSError as e:\n  pass", "e"),
        ("match 1:\n  case [a, *b]: pass\n  case {'k': c, **d}: pass\n  case int(real=e) as f: pass", "a b c d e f"),
        ("match 1:\n  case _: pass", ""),
        ("import a.b, c.d as e, f", "a e f"),
        ("from a import b, c as d", "b d"),
        ("from a import *", ""),
        ("def f(a): b = 1", "f"),
        ("async def f(): pass", "f"),
        ("class C:\n  a = 1\n  def m(self): pass", "C"),
        ("x = 1\ndel x", "x"),
        ("def f():\n  global g, h\n  g = 1\n  from m import h\n  k = 2", "f g h"),
        ("class C:\n  global g\n  g = 1\n  h = 2", "C g"),
        ("def f():\n  n = 1\n  def g():\n    nonlocal n\n    n = 2", "f"),
        ("def f():\n  def g():\n    global n\n    n = 2", "f n"),
        ("f = lambda: (x := 1)", "f"),
        ("if 1:\n  a = 1\nelse:\n  b = 1\nwhile 0: c = 1", "a b c"),
    ],
)
def test_whatever_binds_a_name_at_the_top_writes_it(source: str, written: str) -> None:
    """Every way of Python to bind a name counts, and names of functions, classes and comprehensions do not."""
    assert names_of(source) == names("", written)


@pytest.mark.parametrize(
    ("source", "read", "written"),
    [
        ("df['x'] = 1", "df", "df"),
        ("model.alpha = 2", "model", "model"),
        ("del d[k]", "d k", "d"),
        ("a[0] += 1", "a", "a"),
        ("x += 1", "x", "x"),
        ("a.b[i].c[j:k] = v", "a i j k v", "a"),
        ("f(x).y = 1", "f x", ""),
        ("for d['k'] in rows: pass", "d rows", "d"),
        ("with cm as obj.attribute: pass", "cm obj", "obj"),
        ("(x, d[k]) = 1, 2", "d k", "d x"),
        ("d: T['x'] = 1", "T", "d"),
        ("d[k]: int = 1", "d k", "d"),
        ("d[k]: int", "d k", ""),
        ("d = {}\nd['x'] = 1", "", "d"),
        ("def f(): df['x'] = 1", "df", "df f"),
        ("def f(df): df['x'] = 1", "", "f"),
        ("def f():\n  df = {}\n  df['x'] = 1", "", "f"),
        ("class C:\n  d = {}\n  d['x'] = e", "e", "C"),
        ("[0 for d['x'] in y]", "d y", "d"),
        ("def f():\n  global n\n  n += 1", "n", "f n"),
        ("del x", "x", "x"),
        ("del (x, [y])", "x y", "x y"),
    ],
)
def test_changing_an_object_reads_and_writes_its_name(source: str, read: str, written: str) -> None:
    """A target with a dot or an index changes the object of its first name; augmented assignment does both."""
    assert names_of(source) == names(read, written)


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("a + b.c[d](e, *f, g=h, **i)", "a b d e f h i"),
        ("f'{a:{b}} {c!r}' 'd'", "a b c"),
        ("x = a\nx", "a"),
        ("x\nx = 1", "x"),
        ("x = x + 1", "x"),
        ("x = 1\ny = x", ""),
        ("print(len([]), ValueError, __name__)", ""),
        ("display(get_ipython())", ""),
        ("for i in items: i", "items"),
        ("for i in items: print(i)\nprint(i)", "i items"),
        ("for i in items:\n  print(total)\n  total = i", "items total"),
        ("while (n := f()) > 1: m = n\nn, m", "f m"),
        ("import numpy as np\nnp.array(a)", "a"),
        ("@d\ndef f(a: A = b, *c: C, k: K = l, **e: E) -> R: return a + c + e + g", "A C E K R b d g l"),
        ("@d\nclass C(B, metaclass=M):\n  a: A = b\n  def m(self): return a + c", "A B M a b c d"),
        ("class C:\n  a = 1\n  b = a\n  c = [a for _ in b if a]", "a"),
        ("class C:\n  x = x", "x"),
        ("class C:\n  def m(self): return __class__, super(), __qualname__", ""),
        ("x: T = 1", "T"),
        ("x: T", "T"),
        ("def f():\n  x = 1\n  def g(): return x + y", "y"),
        ("def f():\n  print(x)\n  x = 1", ""),
        ("def f():\n  global x\n  print(x)\n  x = 1", "x"),
        ("def f():\n  x = [y for y in z if (w := y)]\n  return w, y", "y z"),
        ("def f():\n  import a\n  from b import c\n  with c as d: pass\n  return a, c, d", ""),
        ("def f(v):\n  match v:\n    case [a, *b] | {'k': a, **b}: return a, b", ""),
        ("def f():\n  try: pass\n  except E as e: return e\n  class D: pass\n  return D", "E"),
        ("def f(): return f()", ""),
        ("g = lambda a, b=c: a + b + d", "c d"),
        ("[a for a in b for c in a if c if d]", "b d"),
        ("{a: c for a in b}, {a for a in d}, (a for a in e)", "b c d e"),
        ("[a for a in a]", "a"),
        ("[a for a in b for c in d]", "b d"),
        ("def f():\n  def g(a=(x := 1)): pass\n  h = lambda a=(y := 1): a\n  return x, y", ""),
        ("assert a, b", "a b"),
        ("raise E from cause", "E cause"),
        ("await f()\nasync for a in b: pass\nasync with c as d: pass", "b c f"),
        ("match a:\n  case P(x=0) | q.R: x\n  case b if b > c: pass", "P a c q x"),
        ("a if b else c", "a b c"),
        ("a and b or not c", "a b c"),
        ("for i in a: b\nelse: c\nwhile d: e\nelse: f", "a b c d e f"),
        ("global x\nx", "x"),
        ("f((x := a), x, [y, (y := 1), y])", "a f y"),
        ("[(x := i) + x for i in (x := a, x)]", "a"),
    ],
)
def test_a_name_is_read_when_it_may_come_from_outside(source: str, read: str) -> None:
    """Loads count wherever they stand, unless the cell has bound the name before, or Python has it built in."""
    assert names_of(source).read == names(read).read


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("if a: x = 1\nx", "a x"),
        ("if a: x = 1\nelse: x = 2\nx", "a"),
        ("if a: x = 1\nelif b: x = 2\nelse: x = 3\nx", "a b"),
        ("if a: x = 1\nelif b: x = 2\nx", "a b x"),
        ("try: x = f()\nexcept E: pass\nx", "E f x"),
        ("try: x = f()\nexcept E: x = None\nx", "E f"),
        ("try: x = f()\nfinally: x.close()", "f x"),
        ("try: pass\nfinally: x = 1\nx", ""),
        ("y = 1\ntry: x = f()\nfinally: z = y\nx, y, z", "f"),
        ("try: import m\nexcept ImportError: m = None\nm", ""),
        ("try: pass\nexcept E: pass\nelse: x = 1\nx", "E x"),
        ("for i in a: pass\nelse: x = 1\nx", "a x"),
        ("while a: x = 1\nx", "a x"),
        ("with a: x = 1\nx", "a x"),
        ("with suppress(KeyError):\n  x = a\nx", "a suppress x"),
        ("with open(a) as f: x = f.read()\nx, f", "a"),
        ("with open(a) as f, b: x = 1\nx, f", "a b x"),
        ("async with lock: x = 1\nx", "lock"),
        ("match a:\n  case 1: x = 1\n  case _: x = 2\nx", "a"),
        ("match a:\n  case 1: x = 1\n  case 2: x = 2\nx", "a x"),
        ("match a:\n  case 1: x = 1\n  case y if y: x = 2\nx", "a x"),
        ("a and (x := 1)\nx", "a x"),
        ("(x := a) and x", "a"),
        ("(x := 1) if a else 2\nx", "a x"),
        ("a < b < (x := 1)\nx", "a b x"),
        ("a < (x := 1)\nx", "a"),
        ("[x := i for i in a]\nx", "a x"),
        ("assert (m := f())\nm", "f"),
        ("if a:\n  del x\nx", "a x"),
        ("class C:\n  if a: x = 1\n  y = x", "a x"),
    ],
)
def test_a_name_bound_on_one_branch_only_is_read_after(source: str, read: str) -> None:
    """What may not have been run binds nothing for sure; what every branch binds is bound."""
    assert names_of(source).read == names(read).read


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("def f(): return x\nx = 1", ""),
        ("def f(): return g()\ndef g(): return f()", ""),
        ("def f(): return x\nif a: x = 1", "a x"),
        ("def f(): return x\nif a: x = 1\nelse: x = 2", "a"),
        ("if a:\n  def f(): return f()", "a"),
        ("if a:\n  def f(): return x\n  x = 1", "a"),
        ("def f(): return x\nif a:\n  def g(): return x\n  x = 1", "a x"),
        ("class C:\n  def m(self): return D()\nclass D: pass", ""),
        ("class C:\n  y = x\nx = 1", "x"),
        ("f = lambda: x\nx = 1", ""),
        ("rows.sort(key=lambda row: row[x])\nx = 1", "rows x"),
        ("def f(a=x): pass\nx = 1", "x"),
        ("@x\ndef f(): pass\nx = 1", "x"),
        ("def f():\n  return lambda: x\nx = 1", ""),
        ("def f():\n  global x\n  x = 1\nx", "x"),
        ("def f():\n  global x\n  x = 1\n  x.y", ""),
        ("def f():\n  def g(): return x\n  global x\n  x = 1", "x"),
    ],
)
def test_a_function_sees_what_the_cell_binds_after_it(source: str, read: str) -> None:
    """A body runs when its name is called; defaults, decorators, classes and lambdas that are handed over, at once."""
    assert names_of(source).read == names(read).read


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("max(a)", names("a")),
        ("max = 3\nmax", names("", "max")),
        ("print(max)\nmax = 3", names("max", "max")),
        ("sum += 1", names("sum", "sum")),
        ("_, In, Out", names("_ In Out")),
    ],
)
def test_a_builtin_is_a_variable_where_the_cell_makes_it_one(source: str, expected: Names) -> None:
    """Nobody's variable is called `print`, unless the cell says so."""
    assert names_of(source) == expected


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python has no such syntax before 3.12")
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("type X = list[Y]", names("Y", "X")),
        ("type X[T] = dict[T, X[T]]", names("", "X")),
        ("def f[T: B](a: T) -> R: return T", names("B R", "f")),
        ("class C[T](P[T]):\n  N = 1\n  def m[U](self, a: N) -> T: pass", names("P", "C")),
    ],
)
def test_type_parameters_are_no_variables(source: str, expected: Names) -> None:
    """A type alias is a name of the cell, what stands in its brackets is not."""
    assert names_of(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("%matplotlib inline\nx = a", names("a", "x")),
        ("!ls *.py\nx = a", names("a", "x")),
        ("!!ls\n?a\na?\nb??\n%time?\n*int*?\nx = 1", names("", "x")),
        ("x = a?\ny = 1", names("", "y")),
        ("files = !ls", names("", "files")),
        ("r = %mlops runs\nr.df", names("", "r")),
        ("a.b = d['k'] = 1\nx, y = !ls", names("a d", "a d x y")),
        ("x: list = %who_ls", names("", "x")),
        ("if a:\n    %cd {b}\n    !ls $c\n    x = %pwd\nelse:\n    %pwd\ny = x", names("a b c x", "x y")),
        ("def f(p):\n    !cat $p $q\n    r = !ls {p}\n    return r", names("q", "f")),
        ("!cat a \\\n  $b\nx = 1", names("b", "x")),
        ("x = !ls \\\n  {b}\ny = x", names("b", "x y")),
        ("%cd $a/{b.c[d]}/$e.f", names("a b d e")),
        ("!echo $a '$b' $$c $1 {d!r}", names("a d")),
        ("!echo $a it's $b", names("b")),
        ("!echo $a?", NOTHING),
        ("!awk '{print $1}' {", NOTHING),
        ("s = '''\n%time\n!ls\nwhy?\n'''\nt = (a\n  % b)\nu = [1, # why?\n]\n!ls", names("a b", "s t u")),
        ("x = 1  # really?\n!ls", names("", "x")),
        ("x = a == 'b' != c  # = %d\n!ls", names("a c", "x")),
        ("print(f'{a=!r}')\n!ls", names("a")),
        ("    x = 1\n    y = x\n", names("", "x y")),
        ("    %pwd\n    y = x\n", names("x", "y")),
        ("x = a\r\n!ls\r\ny = b", names("a b", "x y")),
        ("_magic0 = 1\n!ls $_magic", names("_magic", "_magic0")),
        ("%time x = f(y)\nx", names("f y", "x")),
        ("%time --no-raise-error f(y)", names("f y")),
        ("r = %time f(y)", names("f y", "r")),
        ("%time !ls $a", names("a")),
        ("%time $x", NOTHING),
        ("%timeit -n 10 -r3 -q x = f(y); d[x] = -z", names("d f y z", "d")),
        ("r = %timeit -o f(y)\ny = 1", names("f y", "r y")),
        ("%prun -l 5 -s cumulative x = f(y)", names("f y", "x")),
        ("%timeit f(\nx = 1", names("", "x")),
        ("def f(y):\n    %time x = g(y)\n    return x", names("g", "f")),
        ("def f(y):\n    %timeit x = g(y)\n    return x", names("g x", "f")),
    ],
)
def test_line_magics_are_read_as_ipython_reads_them(source: str, expected: Names) -> None:
    """Magics, commands and questions stand anywhere a statement does; what they evaluate and bind counts."""
    assert names_of(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("%%time\nx = a", names("a", "x")),
        ("\n  \n%%time\n\nx = a", names("a", "x")),
        ("%%timeit s = setup(a)\nx = s + b\nd[0] = x", names("a b d setup", "d")),
        ("%%timeit -n1\nglobal g\ng = 1", names("", "g")),
        ("%%prun -s time y = b\nx = y", names("b", "x y")),
        ("%%capture\nx = a", names("a", "x")),
        ("%%capture --no-stderr out\nx = out", names("out", "out x")),
        ("%%capture out\n%%time\nx = !ls $a", names("a", "out x")),
        (
            "%%mlops run --name n --param depth=d --tag t=u -p opt=adam -p text='it is' -p word=\"it\"\nx = a",
            names("a adam d", "x"),
        ),
        ("%%mlops run --param=depth=d --name {n}\n\n%%time\nx = a", names("a d n", "x")),
        ("%%mlops run --help\nx = a", NOTHING),
        ("%%mlops status\nx = a", NOTHING),
        ("%%bash\nx=$a", NOTHING),
        ("%%bash -s {a} $b\nx=$c", names("a b")),
        ("%%html\n<b>x</b>", NOTHING),
        ("%%writefile {path}\nx = a", names("path")),
        ("%%time?", NOTHING),
        ("%%time\nx = (", NOTHING),
        ("%%time", NOTHING),
    ],
)
def test_cell_magics_hold_python_or_none(source: str, expected: Names) -> None:
    """The body of a cell magic is the cell's Python where the magic executes it in the notebook."""
    assert names_of(source) == expected


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("log metric acc=f(X[400:], y) loss=total --step 3", "X f total y"),
        ('log metric "acc=a + b" c=\'d + e\' f="g"', "a b d e g"),
        ("log param depth=d opt=adam note='it is' lr=1e-3 path=\"text\" e='f + g'", "adam d f g"),
        ("log tag who=me v=v1.2", "me"),
        ("log text report.txt=summary notes.txt=f('a b', c)", "c f summary"),
        ("log metric acc={a}[0] n=len({b: c})", "a b c"),
        ("log metric acc=$a/$b", "a b"),
        ("log model clf --name best --register churn", "clf"),
        ("log model --name best clf", "clf"),
        ("log data --role=train X", "X"),
        ("log figure fig", "fig"),
        ("log artifact report.html", ""),
        ("log \\\n  metric acc=a", "a"),
        ("log metric acc=f(a", ""),
        ("snapshot before -m text", ""),
        ("restore @last --only {name}", "name"),
        ("", ""),
    ],
)
def test_what_mlops_logs_is_read(line: str, read: str) -> None:
    """Expressions of pairs and the variables that are kept with a run are read where the line stands."""
    assert names_of(f"%mlops {line}\nX = 1") == names(read, "X")
    assert names_of(f"r = %mlops {line}") == names(read, "r")


@pytest.mark.parametrize(
    "source", ["", "\n", "# why?", "x = (", "x = = 1", "a\0b", "x = '\ud800'", "if a:\n!ls", "```"]
)
def test_what_is_no_python_has_no_names(source: str) -> None:
    """A cell that can't be executed reads and writes nothing."""
    assert names_of(source) == NOTHING


@pytest.mark.parametrize(
    "source",
    [
        "(" * 100_000,
        "-" * 100_000 + "x",
        "a" + " + a" * 100_000,
        "a" + ".a" * 100_000,
        "lambda: " * 3_000 + "x",
        "if a: pass\n" + "elif a: pass\n" * 5_000,
        "%%time\n" * 5_000 + "x = a",
        "%time " * 5_000 + "x = a",
        "%mlops log metric a=" + "-" * 100_000 + "x",
        "!echo " + "{" * 100_000,
        "x = " + "(" * 90 + "-" * 5_000 + "x" + ")" * 90,
    ],
)
def test_what_is_nested_too_deeply_has_no_names(source: str) -> None:
    """No source makes the reader of sources fall over; what it could not look into is not told as reading nothing."""
    found = names_of(source)
    assert (found.read, found.written) == ((), ())
    assert found.is_known == source.startswith(("(", "!"))


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("def f(): return x\nx = f()", "x"),
        ("def f(): return x\nx = 1\nf()", ""),
        ("def f(): return x\nx = 1", ""),
        ("f = lambda: x\ny = f()\nx = 1", "x"),
        ("class A:\n  def m(self): return x\nA().m()\nx = 1", "x"),
        ("def f(): return x\ndef g(): return f()\ng()\nx = 1", "x"),
        ("def g(): return f()\ndef f(): return x\ng()\nx = 1", "x"),
        ("def f(): return x\ng = f\nx = 1", "x"),
        ("def f(): return f()\nf()", ""),
        ("def f(): return x\nif c:\n  x = 1\n  f()\nf()\nx = 2", "c x"),
        ("@interact\ndef f(): return x\nx = 1", "interact x"),
        ("@cache\ndef f(): return x\nx = 1", "cache"),
        ("class A:\n  def f(self): return x\ndef f(): pass\nf()\nx = 1", ""),
    ],
)
def test_a_function_that_is_used_reads_what_is_bound_later(source: str, read: str) -> None:
    """What a function loads comes from outside where the function is used before the cell binds it."""
    assert names_of(source).read == tuple(read.split())


def test_what_is_long_but_flat_is_no_problem() -> None:
    """A sum of hundreds of terms, and calls in a long chain, are ordinary cells."""
    assert names_of("x = a" + " + b" * 900) == names("a b", "x")
    assert names_of("x = a" + ".b(c)" * 300) == names("a c", "x")


@pytest.mark.parametrize("line", ["x{0} = {0}\n", "x{0} = y{0}\nif a: x{0} = 1\n", "x{0} = !ls $y{0}\n"])
def test_a_megabyte_takes_seconds(line: str) -> None:
    """The time grows with the length, and not with its square."""
    source = "".join(map(line.format, range(1_000_000 // len(line.format(10_000)))))
    began = time.perf_counter()
    found = names_of(source)
    assert time.perf_counter() - began < 30
    assert "x9" in found.written


def test_nothing_is_said_about_a_cell_that_python_warns_of() -> None:
    """The warning is for whoever runs the cell; here it would be an error."""
    assert names_of("x = '\\d' + a") == names("a", "x")


@pytest.mark.parametrize(
    "source",
    [
        "x = 1\n%pwd\ny = x?\nz = 2\n",
        "x = '''\n!ls\n''' ; y = \"%pwd\" # = !ls\n!ls\n",
        "x = (1\n!= 2)\n%pwd\n",
        "d = {'a': [1,\n2]}\nd['a'] = !ls \\\n -l\ny = 1\n",
        "def f(a=1):\n    x = %pwd\n    return x\n\nb = f?\n",
        "for i in []:\n    if i:\n        %pwd\n    else:\n        !ls\n",
        "x = r'\\'  # ' ?\n!ls\ny = 1\n",
        "if x: y = !ls\n",
        "x = a == b\n%%time\ny = x\n",
        "   \n    x = 1\n    !ls\n",
        "x = '%s' % a\n!echo it's\ny = '\n'\n",
        '%pwd\nx = """ \\""" ? """\n',
    ],
)
def test_the_magics_are_where_ipython_finds_them(source: str) -> None:
    """Taking the syntax out by ourselves gives the same names as letting IPython do it, Python or not."""
    from IPython.core.inputtransformer2 import TransformerManager

    assert names_of(source) == names_of(TransformerManager().transform_cell(source))


@settings(max_examples=300)
@given(st.text(alphabet="ab=%!?$(){}[]'\"\\\n :#.,", max_size=40))
def test_any_text_has_names_or_none(text: str) -> None:
    """Nothing that is typed raises, and names are names."""
    found = names_of(text)
    assert all(name.isidentifier() for name in (*found.read, *found.written))


# ---------------------------------------------------------------------------------------------------------------------
# What execution shows

POOL = "abcde"
NAME = st.sampled_from(POOL)


class Anything:
    """An object that every statement of a generated program can be done with."""

    def __call__(self, *_: Any, **__: Any) -> Anything:
        return Anything()

    __getattr__ = __getitem__ = __add__ = __iadd__ = __call__

    def __setattr__(self, name: str, value: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __delitem__(self, key: Any) -> None:
        pass

    def __iter__(self) -> Iterator[Anything]:
        return iter((Anything(), Anything()))

    def __enter__(self) -> Anything:
        return Anything()

    def __exit__(self, *_: object) -> None:
        pass


class Watched(dict[str, Any]):
    """A namespace that sees which of its first values are looked up, and which are replaced.

    Python stores what is declared global past ``__setitem__``; that is told by the value.
    """

    def __init__(self) -> None:
        super().__init__({name: Anything() for name in POOL})
        self.first = dict(self)
        self.read: set[str] = set()
        self.bound: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if name not in self.bound and value is self.first.get(name):
            self.read.add(name)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        self.bound.add(name)
        super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        self.bound.add(name)
        super().__delitem__(name)

    def written(self) -> set[str]:
        changed = {name for name, value in self.first.items() if self.get(name) is not value}
        return {name for name in self.bound | changed if name in self.first}


EXPRESSIONS = [
    "{0}", "{0} + {1}", "{0}.x[{1}]", "{0}({1})", "({0} := {1})", "[{0} for {0} in {1}]", "[{0} for {1} in {2}]",
    "[({0} := {1}) for _ in {2} if {0}]", "({0} if {1} else {2})", "({0} or ({1} := {2}))",
    "[not ({0} := {1}) and {2}]", "(lambda {0}: {0} + {1})({2})", "[f'{{{0}}}']", "{{{0}: {1} for {2} in {0}}}",
]  # fmt: skip
STATEMENTS = [
    "{0} = {e}", "{0} += {e}", "{0}, {1} = {2}", "{0}[{1}] = {e}", "{0}.x = {e}", "del {0}", "del {0}[{1}]",
    "import os as {0}", "{0}: {1} = {e}", "{e}", "class {0}: {1} = {e}; {2} = {1}", "class K: global {0}; {0} = {e}",
]  # fmt: skip
BLOCKS = [
    "for {0} in {e}:\n{x}\nelse:\n{y}", "for {0} in ():\n{x}\nelse:\n{y}", "if {e}:\n{x}\nelse:\n{y}",
    "if 0:\n{x}\nelse:\n{y}", "with {e} as {0}:\n{x}\n    {0}", "class {0}:\n{x}\n    {1}",
    "match [{e}]:\n  case [{0}, {1}]: {2}\n  case [{0}] if not {1}:\n{x}\n  case _:\n{y}",
]  # fmt: skip
CATCHING = [
    "try:\n{x}\n    {0} = missing\n    {1} = {2}\nexcept NameError as {1}:\n{y}",
    "try:\n{x}\nexcept {0}:\n{y}\nelse:\n{y}",
    "try:\n    try: {0} = missing\n    finally: {1} = {e}\nexcept NameError:\n{y}",
]
FUNCTIONS = [
    "def {f}({0}={e}):\n{x}\n    return {1}",
    "def {f}():\n    global {0}, {1}\n{x}\n    {0} = {e}",
    "def {f}():\n    global {0}\n    {0} += {1}\n{x}",
    "def {f}():\n    {1} = {2}\n    def {0}():\n        nonlocal {1}\n        {1} = {e}\n{x}\n    {0}()",
    "{f} = lambda {0}=1: ({0}, {1}, {e})",
]


@st.composite
def programs(draw: Callable[..., Any]) -> str:
    """Statements in every shape; functions are called at the very end, and none is defined where errors are caught."""
    functions: list[str] = []

    def statement(depth: int, caught: bool) -> str:
        kinds = [STATEMENTS, STATEMENTS, BLOCKS, CATCHING, FUNCTIONS] if depth < 3 else [STATEMENTS]
        kind = draw(st.sampled_from([kind for kind in kinds if kind is not FUNCTIONS or not caught]))
        shape = draw(st.sampled_from(kind))
        inside = caught or kind in (CATCHING, FUNCTIONS)
        values = draw(st.permutations(POOL))
        expression = draw(st.sampled_from(EXPRESSIONS)).format(*[draw(NAME) for _ in range(3)])
        bodies = {key: block(depth + 1, inside) for key in "xy" if f"{{{key}}}" in shape}
        function = f"f{len(functions)}"
        functions.extend([function] if kind is FUNCTIONS else [])
        return shape.format(*values, e=expression, f=function, **bodies)

    def block(depth: int, caught: bool) -> str:
        lines = "\n".join(statement(depth, caught) for _ in range(draw(st.integers(1, 2)))).split("\n")
        return "\n".join("    " + line for line in lines)

    lines = [statement(0, caught=False) for _ in range(draw(st.integers(1, 5)))]
    return "\n".join([*lines, *(f"try: {name}()\nexcept Exception: pass" for name in functions)])


@settings(max_examples=400, deadline=None)
@given(programs())
def test_execution_reads_and_writes_nothing_else(program: str) -> None:
    """What a namespace sees looked up before it was set is read, and what it sees set is written."""
    try:
        code = compile(program, "<program>", "exec")
    except SyntaxError:
        return  # a name that is a parameter and global, or a comprehension's own and bound by a walrus
    namespace = Watched()
    try:
        exec(code, namespace, namespace)
    except Exception:
        pass  # a deleted name; what was done until then counts
    found = names_of(program)
    assert namespace.read <= set(found.read)
    assert namespace.written() <= set(found.written)
