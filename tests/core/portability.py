"""Finds what MicroPython cannot do, or does differently, in the source of the portable core: `python tests/core/portability.py PATH...`

Prints `file:line:column: what and what instead`, exit status 1 when anything is found. Looks at imports, syntax, methods, built-in names
and keyword arguments; types are not inferred, so a method MicroPython lacks for one type is a forbidden name for all. What only running
shows (recursion depth, the order of dictionaries, the cost of big integers) is for the vectors on MicroPython.
Rules found by trial on MicroPython 1.25 (Unix port, standard variant).
"""

import ast
import sys
from pathlib import Path

MODULES = {"array", "binascii", "collections", "errno", "hashlib", "heapq", "json", "math", "re", "struct", "sys"}
FROM_COLLECTIONS = {"OrderedDict", "deque", "namedtuple"}
OWN = {"skerry_core", "skerry_micro", "pure25519", "vectorfile"}
DOES_IO = {"asyncio", "logging", "os", "random", "secrets", "select", "selectors", "socket", "ssl", "subprocess", "threading", "time"}

NODES = {
    ast.Match: "match: use if",
    ast.TryStar: "except*: use except",
    ast.AsyncFunctionDef: "async: the core is sans-IO",
    ast.AsyncFor: "async: the core is sans-IO",
    ast.AsyncWith: "async: the core is sans-IO",
    ast.Await: "await: the core is sans-IO",
}
NAMES = {
    "BrokenPipeError": "catch OSError by errno",
    "BufferError": "not defined",
    "ConnectionError": "catch OSError by errno",
    "ConnectionResetError": "catch OSError by errno",
    "FileNotFoundError": "catch OSError by errno",
    "ModuleNotFoundError": "use ImportError",
    "PermissionError": "catch OSError by errno",
    "RecursionError": "not defined",
    "TimeoutError": "catch OSError by errno",
    "UnicodeDecodeError": "use UnicodeError",
    "UnicodeEncodeError": "use UnicodeError",
    "ascii": "not defined",
    "breakpoint": "not defined",
    "eval": "not in the core",
    "exec": "not in the core",
    "format": "use the % operator",
    "input": "the core is sans-IO",
    "print": "the core is sans-IO",
    "slice": "cannot be made",
    "vars": "not defined",
}
METHODS = {
    "bit_count": "not defined",
    "bit_length": "not defined",
    "capitalize": "not defined",
    "casefold": "use lower",
    "cast": "memoryview.cast is not defined",
    "expandtabs": "not defined",
    "finditer": "not defined",
    "fullmatch": "use match with $",
    "isalnum": "not defined",
    "isascii": "not defined",
    "isdecimal": "use isdigit",
    "isidentifier": "not defined",
    "isnumeric": "use isdigit",
    "isprintable": "not defined",
    "iter_unpack": "use unpack_from with an offset",
    "ljust": "add what is missing",
    "maketrans": "not defined",
    "removeprefix": "test with startswith and cut",
    "removesuffix": "test with endswith and cut",
    "rjust": "add what is missing",
    "swapcase": "not defined",
    "title": "not defined",
    "tobytes": "use bytes(view)",
    "translate": "not defined",
    "with_traceback": "not defined",
    "zfill": "use %0Nd",
}
ATTRIBUTES = {
    "binascii.Error": "use ValueError",
    "json.JSONDecodeError": "use ValueError",
    "struct.Struct": "use struct.pack and struct.unpack_from",
    "struct.error": "not defined, a short buffer is a ValueError: check lengths first",
    "sys.exc_info": "not defined",
}
BYTEARRAY_METHODS = {"clear": "make a new one", "insert": "not defined", "pop": "not defined", "remove": "not defined"}
KEYWORDS = {
    "dumps": {"sort_keys": "not accepted", "indent": "not accepted", "default": "not accepted"},
    "split": {"maxsplit": "positional only", "sep": "positional only"},
    "rsplit": {"maxsplit": "positional only", "sep": "positional only"},
    "zip": {"strict": "not accepted"},
    "to_bytes": dict.fromkeys(("length", "byteorder", "signed"), "positional only, and no signed"),
    "from_bytes": dict.fromkeys(("bytes", "byteorder", "signed"), "positional only, and no signed"),
    "decode": dict.fromkeys(("encoding", "errors"), "positional only, and errors always raise"),
    "encode": dict.fromkeys(("encoding", "errors"), "positional only, and errors always raise"),
}
CLASS_HOOKS = {"__class_getitem__", "__init_subclass__", "__post_init__", "__set_name__"}
STRUCT_FUNCTIONS = {"pack", "pack_into", "unpack", "unpack_from", "calcsize"}


class Finder(ast.NodeVisitor):
    """Collects (line, column, text) of one file; `visit` the tree, then read `found`."""

    def __init__(self, source):
        self.lines = source.splitlines()
        self.found = []
        self.bytearrays = set()

    def add(self, node, text):
        self.found.append((node.lineno, node.col_offset + 1, text))

    def visit(self, node):
        if type(node) in NODES:
            self.add(node, NODES[type(node)])
        return super().visit(node)

    def visit_Module(self, node):
        for inner in ast.walk(node):
            if isinstance(inner, (ast.Assign, ast.AnnAssign)) and _called(inner.value) == "bytearray":
                targets = inner.targets if isinstance(inner, ast.Assign) else [inner.target]
                self.bytearrays |= {ast.unparse(target) for target in targets}
        self.generic_visit(node)

    def visit_If(self, node):
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for part in node.orelse:
                self.visit(part)
        else:
            self.generic_visit(node)

    def visit_Try(self, node):
        if any(isinstance(handler.type, ast.Name) and handler.type.id == "ImportError" for handler in node.handlers):
            return  # an optional module, with what to do without it
        self.generic_visit(node)

    def visit_Import(self, node):
        for alias in node.names:
            self._module(node, alias.name)

    def visit_ImportFrom(self, node):
        if node.level:
            return
        self._module(node, node.module)
        if node.module == "collections":
            for alias in node.names:
                if alias.name not in FROM_COLLECTIONS:
                    self.add(node, f"collections.{alias.name} does not exist; there are {', '.join(sorted(FROM_COLLECTIONS))}")

    def _module(self, node, name):
        top = name.partition(".")[0]
        if top in DOES_IO:
            self.add(node, f"import of {name}: I/O, clocks and randomness belong to the adapters")
        elif top not in MODULES | OWN or (top == "collections" and name != top):
            hint = "; for annotations import it under a false TYPE_CHECKING" if top in ("typing", "collections") else ""
            self.add(node, f"import of {name}: not in MicroPython, or not known to be{hint}")

    def visit_Name(self, node):
        if node.id in NAMES and isinstance(node.ctx, ast.Load):
            self.add(node, f"{node.id}: {NAMES[node.id]}")

    def visit_Attribute(self, node):
        if node.attr in METHODS:
            self.add(node, f".{node.attr}: {METHODS[node.attr]}")
        name = f"{getattr(node.value, 'id', None)}.{node.attr}"
        if name in ATTRIBUTES:
            self.add(node, f"{name}: {ATTRIBUTES[name]}")
        self.generic_visit(node)

    def visit_Call(self, node):
        name = _called(node)
        for keyword in node.keywords:
            if keyword.arg in KEYWORDS.get(name, {}):
                self.add(node, f"{name}({keyword.arg}=...): {KEYWORDS[name][keyword.arg]}")
        if name in ("to_bytes", "from_bytes") and len(node.args) < 2 and not node.keywords:
            self.add(node, f"{name}: length and byte order explicit")
        if name in ("decode", "encode") and node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
            if node.args[0].value.lower() not in ("utf-8", "utf8"):
                self.add(node, f"{name}({node.args[0].value!r}): UTF-8 on MicroPython whatever is asked; check the characters")
            if len(node.args) > 1:
                self.add(node, f"{name}(..., errors): MicroPython raises UnicodeError whatever is asked")
        if name == "pow" and len(node.args) == 3 and isinstance(node.args[1], ast.UnaryOp):
            self.add(node, "pow with a negative exponent returns 0: use pow(a, p - 2, p)")
        if isinstance(node.func, ast.Attribute):
            self._attribute_call(node, node.func)
        self.generic_visit(node)

    def _attribute_call(self, node, function):
        target = ast.unparse(function.value)
        if target in self.bytearrays and function.attr in BYTEARRAY_METHODS:
            self.add(node, f"bytearray.{function.attr}: {BYTEARRAY_METHODS[function.attr]}")
        if target == "struct" and function.attr in STRUCT_FUNCTIONS and node.args and isinstance(node.args[0], ast.Constant):
            shape = str(node.args[0].value)
            if shape[:1] not in ("<", ">", "!"):
                self.add(node, f"struct.{function.attr}({shape!r}): begin the format with < > or !")

    def visit_Slice(self, node):
        if node.step is not None:
            self.add(node, "slice with a step: use a loop, or bytes(reversed(...))")
        self.generic_visit(node)

    def visit_Delete(self, node):
        for target in node.targets:
            if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Slice):
                self.add(node, "del of a slice: assign the rest, b = b[n:]")
        self.generic_visit(node)

    def _display(self, node):
        loaded = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)  # (a, *b) = c is fine
        if loaded and any(isinstance(item, ast.Starred) for item in node.elts):
            self.add(node, "* in a list, tuple or set: concatenate with +")
        self.generic_visit(node)

    visit_List = visit_Tuple = visit_Set = _display

    def visit_Dict(self, node):
        if None in node.keys:
            self.add(node, "** in a dictionary: use update")
        self.generic_visit(node)

    def visit_Raise(self, node):
        if node.cause is not None:
            self.add(node, "raise ... from: MicroPython does not chain exceptions")
        self.generic_visit(node)

    def visit_ClassDef(self, node):
        if node.keywords:
            self.add(node, "keyword in a class statement: there are no metaclasses")
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name in CLASS_HOOKS:
                self.add(item, f"{item.name} is never called")
        self.generic_visit(node)

    def visit_arguments(self, node):
        if node.posonlyargs:
            self.add(node.posonlyargs[-1], "/ among the parameters")
        self.generic_visit(node)

    def visit_With(self, node):
        first = node.items[0]
        between = self.lines[node.lineno - 1][node.col_offset + len("with") :]
        # a bracket of the statement's own, not of the first expression
        start = (node.lineno, node.col_offset + len("with") + len(between) - len(between.lstrip()))
        bracketed = between.lstrip().startswith("(") and (first.context_expr.lineno, first.context_expr.col_offset) > start
        if bracketed and (len(node.items) > 1 or first.optional_vars):
            self.add(node, "with (...): no parentheses around the items")
        self.generic_visit(node)

    def _comprehension(self, node):
        if any(generator.is_async for generator in node.generators):
            self.add(node, "asynchronous comprehension")
        if any(isinstance(inner, ast.NamedExpr) for inner in ast.walk(node)):
            self.add(node, ":= in a comprehension: use a loop")
        self.generic_visit(node)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_FunctionDef(self, node):
        for part in [*node.decorator_list, node.args, *node.body]:  # not the annotations: MicroPython does not evaluate them
            self.visit(part)

    def visit_arg(self, node):
        pass

    def visit_AnnAssign(self, node):
        self.visit(node.target)
        if node.value:
            self.visit(node.value)


def _called(node):
    """The last part of the name a call calls; None for anything else."""
    if not isinstance(node, ast.Call):
        return None
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)


def findings(source, name="<source>"):
    """What is wrong in one file's text, as lines to print."""
    finder = Finder(source)
    try:
        finder.visit(ast.parse(source, name))
    except SyntaxError as error:
        return [f"{name}:{error.lineno}:{error.offset}: {error.msg}"]
    return [f"{name}:{line}:{column}: {text}" for line, column, text in sorted(finder.found)]


def main(paths):
    if not paths or any(path.startswith("-") for path in paths):
        sys.exit("usage: python tests/core/portability.py PATH...   (files, or folders whose .py files are read)")
    files = []
    for path in map(Path, paths):
        if not path.exists():
            sys.exit(f"{path} does not exist")
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    lines = [line for path in files for line in findings(path.read_text("utf-8"), str(path))]
    print("\n".join([*lines, f"portability: {len(files)} files, {len(lines)} findings"]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
