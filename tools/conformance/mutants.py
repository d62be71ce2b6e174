"""The checks of the validator, one by one, each as code without it."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FunctionType, ModuleType

PACKAGE = Path(__file__).resolve().parents[2] / "scformat"
CHECKING = ("structure", "validation")
"""Packages that hold the checks of the validator."""
_REPORTS = {"add", "_add", "_report"}
_QUIET = {"validation.document": {"append", "extend"}}
"""Modules in which other calls say what is wrong."""
_SETS = ("incomplete", "_seen", "hopeless", "seen", "used", "broken")
"""What ``add`` puts something into that is no finding."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A function of the validator without one check.

    Attributes
    ----------
    module, function
        Name of the module, and of the outermost function or method that holds the check.
    kind
        ``finding``: a call that reports, or that calls what reports; ``condition``: one of several conditions of a
        report; ``item``: one of the things that a loop checks; ``error``: an exception that becomes a finding;
        ``fault``: one that the compiled check of entries reports by a number.
    text
        The code that was taken out.
    line, end
        Where it stands.
    code
        Of the whole function without it.
    """

    module: str
    function: str
    kind: str
    text: str
    line: int
    end: int
    code: CodeType | None = None
    fault: int | None = None
    """In place of code: a fault of a row that the compiled kernel is not to report."""

    @property
    def name(self) -> str:
        """For people, the same while the code is."""
        return f"{self.module}.{self.function}: {self.text}"


def modules() -> dict[str, Path]:
    """Names and files of the modules that check."""
    files = [file for package in CHECKING for file in sorted((PACKAGE / package).glob("*.py"))]
    return {module_of(file): file for file in files if file != PACKAGE / "validation" / "__init__.py"}


def module_of(file: Path) -> str:
    """Name of a module within the package: ``validation.cells``."""
    return ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def _name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def reporting() -> set[str]:
    """Names of functions and methods that report, themselves or through others."""
    bodies: dict[str, set[str]] = {}
    for file in modules().values():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                called = {_name_of(n) for n in ast.walk(node) if isinstance(n, ast.Call)}
                if any(isinstance(n, ast.Call) and _is_report(n) for n in ast.walk(node)):
                    called.add("")
                bodies.setdefault(node.name, set()).update(called)
    found = {name for name, called in bodies.items() if "" in called}
    while True:
        more = {name for name, called in bodies.items() if called & found} - found
        if not more:
            return found
        found |= more


def _is_report(call: ast.Call) -> bool:
    if _name_of(call) not in _REPORTS:
        return False
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    text = "" if owner is None else ast.unparse(owner)
    return text.endswith("findings") or text == "self" or owner is None


def _chain(node: ast.expr) -> list[ast.expr]:
    """Operands of ``a | b | c``."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_chain(node.left), *_chain(node.right)]
    return [node]


class _Finder:
    """Finds what can be taken out of a function."""

    def __init__(self, module: str, names: set[str]) -> None:
        self._module = module
        self._names = names

    def edits(self, function: ast.FunctionDef) -> Iterator[tuple[str, ast.AST, list[int]]]:
        """Yield kind, the node, and for a node with several parts the number of the part."""
        reports = any(
            isinstance(n, ast.Call) and (_is_report(n) or _name_of(n) in self._names) for n in ast.walk(function)
        )
        for node in ast.walk(function):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and self._checks(node.value):
                yield "finding", node, []
            elif isinstance(node, ast.Raise) and self._module == "validation.document":
                yield "error", node, []
            elif reports:
                yield from self._parts(node)

    def _checks(self, call: ast.Call) -> bool:
        name = _name_of(call)
        owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
        if name == "add" and owner.endswith(_SETS):
            return False
        return _is_report(call) or name in self._names or name in _QUIET.get(self._module, ())

    def _parts(self, node: ast.AST) -> Iterator[tuple[str, ast.AST, list[int]]]:
        if isinstance(node, ast.If) and self._reported_in(node.body):
            for test in ast.walk(node.test):
                if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
                    yield from (("condition", test, [i]) for i in range(len(test.values)))
        elif isinstance(node, ast.Assign | ast.Call):
            values = [node.value] if isinstance(node, ast.Assign) else node.args
            for value in values:
                if isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr):
                    yield from (("condition", value, [i]) for i in range(len(_chain(value))))
        elif isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple) and self._reported_in(node.body):
            n = len(node.iter.elts)
            yield from (("item", node.iter, [i]) for i in range(n if n > 1 else 0))

    def _reported_in(self, body: list[ast.stmt]) -> bool:
        calls = [n for s in body for n in ast.walk(s) if isinstance(n, ast.Call)]
        return any(self._checks(call) for call in calls)


def _without(tree: ast.Module, path: list[Any], part: list[int]) -> None:
    """Take a node, or a part of it, out of a tree; `path` leads to it."""
    parent: Any = tree
    for step in path[:-1]:
        parent = parent[step] if isinstance(step, int) else getattr(parent, step)
    last = path[-1]
    node = parent[last] if isinstance(last, int) else getattr(parent, last)
    new = _replacement(node, part)
    if isinstance(last, int):
        parent[last] = new
    else:
        setattr(parent, last, new)


def _replacement(node: Any, part: list[int]) -> ast.AST:
    if isinstance(node, ast.BoolOp):
        rest = [v for i, v in enumerate(node.values) if i != part[0]]
        return rest[0] if len(rest) == 1 else ast.BoolOp(ast.Or(), rest)
    if isinstance(node, ast.BinOp):
        rest = [v for i, v in enumerate(_chain(node)) if i != part[0]]
        out = rest[0]
        for value in rest[1:]:
            out = ast.BinOp(out, ast.BitOr(), value)
        return out
    if isinstance(node, ast.Tuple):
        return ast.Tuple([v for i, v in enumerate(node.elts) if i != part[0]], ast.Load())
    return ast.Pass()


def _paths(tree: ast.AST) -> dict[int, list[Any]]:
    """Way from the root to each node."""
    out: dict[int, list[Any]] = {}

    def walk(node: ast.AST, path: list[Any]) -> None:
        out[id(node)] = path
        for name, value in ast.iter_fields(node):
            if isinstance(value, ast.AST):
                walk(value, [*path, name])
            elif isinstance(value, list):
                for i, item in enumerate(value):
                    if isinstance(item, ast.AST):
                        walk(item, [*path, name, i])

    walk(tree, [])
    return out


def _text(node: Any, part: list[int]) -> str:
    if isinstance(node, ast.BoolOp):
        return f"{ast.unparse(node.values[part[0]])} (of an or)"
    if isinstance(node, ast.BinOp):
        return f"{ast.unparse(_chain(node)[part[0]])} (of an or)"
    if isinstance(node, ast.Tuple):
        return f"{ast.unparse(node.elts[part[0]])} (of a loop)"
    return ast.unparse(node)


def mutants() -> Iterator[Mutant]:
    """Yield every mutant."""
    names = reporting()
    for module, file in modules().items():
        tree = ast.parse(file.read_text())
        paths = _paths(tree)
        finder = _Finder(module, names)
        for qualified, function in _functions(tree):
            for kind, node, part in finder.edits(function):
                changed = copy.deepcopy(tree)
                _without(changed, paths[id(node)], part)
                code = compile(ast.fix_missing_locations(changed), str(file), "exec", dont_inherit=True)
                shown: Any = node if not part else _part_of(node, part[0])
                yield Mutant(
                    module=module,
                    function=qualified,
                    kind=kind,
                    text=_text(node, part),
                    line=shown.lineno,
                    end=shown.end_lineno,
                    code=_code_of(code, qualified),
                )


def fault_mutants() -> Iterator[Mutant]:
    """Yield a mutant for each fault of a row."""
    from scformat.validation.kernels import FAULTS

    for fault, (requirement, text) in FAULTS.items():
        yield Mutant(
            module="validation.counts",
            function="CountCheck._report_faults",
            kind="fault",
            text=f"{requirement}, {text}",
            line=0,
            end=0,
            fault=fault,
        )


def _part_of(node: Any, i: int) -> ast.AST:
    if isinstance(node, ast.BoolOp):
        return node.values[i]
    found: ast.AST = _chain(node)[i] if isinstance(node, ast.BinOp) else node.elts[i]
    return found


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and not member.decorator_list:
                    yield f"{node.name}.{member.name}", member


def _code_of(code: CodeType, qualified: str) -> CodeType:
    for name in qualified.split("."):
        code = next(c for c in code.co_consts if inspect.iscode(c) and c.co_name == name)
    return code


def function_of(mutant: Mutant) -> FunctionType:
    """The function that a mutant takes the place of."""
    found: ModuleType | Any = importlib.import_module(f"scformat.{mutant.module}")
    for name in mutant.function.split("."):
        found = found.__dict__[name]
    return found  # type: ignore[return-value]
