"""What in a module's source could run what a file says: found by the last names of calls and imports.

A name that loads is found whatever it is called on or imported from, called or passed on; what is harmless is listed
with its reason. That finds too much rather than too little: who adds a loader has to say here why it is safe.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

PICKLERS = frozenset({
    "pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve",
})  # fmt: skip
"""Modules that make objects of bytes: they are neither imported nor named."""

LOADERS = frozenset({
    # objects
    "load", "loads", "load_all", "safe_load", "safe_load_all", "full_load", "full_load_all", "unsafe_load",
    "unsafe_load_all", "YAML", "Unpickler", "read_pickle", "read_hdf", "HDFStore", "read_array", "loadtxt",
    "deserialize",
    # models
    "load_model", "model_from_json", "model_from_config", "from_config", "deserialize_keras_object",
    "enable_unsafe_deserialization", "TFSMLayer",
    # code
    "eval", "exec", "__import__", "import_module", "run_path", "run_module", "exec_module", "spec_from_file_location",
    # compiled code
    "CDLL", "LoadLibrary", "load_library", "load_op_library", "add_extension",
    # shells
    "system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell",
    # archives
    "extract", "extractall", "unpack_archive",
})  # fmt: skip
"""The last names of what may run what a file says, or write where it says."""

HARMLESS = {
    "json.loads": "makes lists, tables, texts and numbers",
    "tomllib.loads": "likewise",
    "yaml.safe_load": "likewise: no tag makes an object of a class",
    "ruamel.yaml.YAML().load": "as safe as the YAML, whose making is looked at: see HARMLESS_WITH",
    "segscale.tasks.models.model_file.load_model": "Segscale's own, which refuses all but standard layers",
    "segscale.tasks.readers.arrays.read_array": "Segscale's own, which asks NumPy with allow_pickle=False",
}
"""What is safe wherever it stands, with the reason."""

HARMLESS_WITH: dict[str, tuple[str, object]] = {
    "numpy.load": ("allow_pickle", False),
    "numpy.lib.format.read_array": ("allow_pickle", False),
    "keras.saving.load_model": ("safe_mode", True),
    "ruamel.yaml.YAML": ("typ", "safe"),
}
"""What is safe where it is called with this keyword, written out."""

HARMLESS_IN = {
    ("flows/cluster/tied.py", "ctypes.CDLL"): "the C library that is loaded anyway, for a call to the kernel",
    (
        "flows/processes/messages.py",
        "pickle.loads",
    ): "reads what a process of the same driver sends, over a socket of both",
    ("flows/processes/program.py", "importlib.import_module"): "takes the module that the driver names on its command",
    ("segscale/__init__.py", "importlib.import_module"): "takes the modules of its own table alone",
    ("tasks/bit_rows.py", "builder.load"): "an instruction of LLVM, which reads memory",
    (
        "tasks/networks/__init__.py",
        "type().from_config",
    ): "copies a layer of a network that is loaded, from what the layer itself says",
    ("tasks/networks/endings.py", "type().from_config"): "likewise, under another name",
    ("tasks/readers/arrays.py", "read_array"): "its own: see HARMLESS",
    ("tasks/readers/volume.py", "load"): "its own field: the stored numbers of a volume",
    ("tasks/readers/volume.py", "self.load"): "likewise",
    ("tasks/readers/pillow.py", "image.load"): "has Pillow decode the pixels of an image",
}
"""What is safe in one module, by its path, with the reason."""

PICKLERS_IN = {("flows/processes/messages.py", "imports pickle")}
"""The one module that may have a pickler: between processes of one driver, as Dask has it between its own."""

KNOWN = frozenset({*HARMLESS, *HARMLESS_WITH, "importlib.import_module"})
"""What may be imported by its last name, since its calls are looked at."""

SWITCHES: dict[str, object] = {"allow_pickle": False, "safe_mode": True, "shell": False}
"""Keywords that no call may give another value."""


def unsafe(source: str, path: str = "") -> list[str]:
    """What in a module could run what a file says: a line for each. `path` is the module's, below the repository."""
    tree = ast.parse(source)
    names = _imported(tree)
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += [line for line in _unsafe_imports(node) if (path, line) not in PICKLERS_IN]
        elif isinstance(node, ast.Constant) and _is_pickler(node.value):
            found.append(f"names {node.value!r}")
        elif isinstance(node, ast.Call):
            found += _unsafe_arguments(node)
        name = _qualified(node, names)
        if name.rsplit(".", 1)[-1] in LOADERS and not _is_harmless(name, calls.get(id(node)), path):
            found.append(f"uses {name}")
    return found


def _imported(tree: ast.AST) -> dict[str, str]:
    """What the names that a module imports stand for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _qualified(node: ast.AST, names: dict[str, str]) -> str:
    """The dotted name of an expression, its imports resolved, e.g. ``numpy.load``; "" for what is no name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_qualified(node.value, names)}.{node.attr}"
    if isinstance(node, ast.Call) and (name := _qualified(node.func, names)):
        return f"{name}()"
    return ""


def _unsafe_imports(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        name = f"{module}{alias.name}"
        if _is_pickler(name) or alias.name == "*" or (alias.name in LOADERS and name not in KNOWN):
            yield f"imports {name}"


def _unsafe_arguments(call: ast.Call) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg in SWITCHES and not _is(keyword.value, SWITCHES[keyword.arg]):
            yield f"sets {keyword.arg}={ast.unparse(keyword.value)}"
    # The names by which getattr and its like find a loader.
    if isinstance(call.func, ast.Name | ast.Attribute) and _last(call.func) in {
        "getattr",
        "attrgetter",
        "methodcaller",
    }:
        texts = [text.value for text in call.args if isinstance(text, ast.Constant)]
        yield from (f"takes {text}" for text in texts if isinstance(text, str) and text.rsplit(".", 1)[-1] in LOADERS)


def _is_harmless(name: str, call: ast.Call | None, path: str) -> bool:
    if name in HARMLESS or (path, name) in HARMLESS_IN:
        return True
    if call is None:
        return False
    if name == "importlib.import_module":
        # A module that is written out is seen where picklers are named; one that is computed may be any.
        return bool(call.args) and isinstance(call.args[0], ast.Constant)
    needed = HARMLESS_WITH.get(name)
    return needed is not None and any(word.arg == needed[0] and _is(word.value, needed[1]) for word in call.keywords)


def _last(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is type(value) and node.value == value


def _is_pickler(text: object) -> bool:
    return isinstance(text, str) and text.split(".")[0] in PICKLERS
