"""The package's own rules, read from its source: who may import whom, sizes, and no hidden state."""

import ast
import builtins
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import parfocal

PACKAGE = Path(parfocal.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
FACADE = ("__init__.py", "__main__.py")  # the public names, each imported when first asked for

# The order in which data travel. A module imports from those before it, and from its own package.
ORDER = (  # noqa: SIM905 - it is read as one line
    "conventions errors jit optics limits particles half_sets losses estimates defocus_set "
    "io matching join projection template fsc masks fsc_curves reference fsc_directions "
    "fsc_spread guinier fsc_star fsc_faults fsc_measure fsc_inputs mask_file grid held_out pages ewald "
    "spectra insertion inversion symmetry astigmatism likelihood calibration curves folds "
    "chunks leave_one_out reconstruct own_reference local_resolution monores windowed_fsc "
    "evidence ice layer learning ladder verdict estimators iterate micrographs grouped "
    "agreement expected against_global planes_of_sets stability faults compare combination "
    "decomposition plane_errors heights consensus filters execution boxes extract simulate "
    "reference_files inputs set_inputs chance set_particles reconstruct_inputs reconstruct_run run "
    "set_runs local_runs micrograph_blocks block_jackknife negative_controls b_factor "
    "validation validation_verdict validation_record study_record report pipeline "
    "round_store iterate_run fsc_run localres_run compare_run consensus_run validation_maps "
    "validation_run study demo cli"
).split()

HOMES = {  # library -> the only places that may import it
    "gemmi": ("io/", "simulate/structure.py"),
    "mrcfile": ("io/",),
    "plotly": ("report/",),
    "jinja2": ("report/",),
    "markupsafe": ("report/",),
    "typer": ("cli/",),
    "rich": ("cli/",),
    "tifffile": ("io/",),
    "numba": ("jit.py",),
    "llvmlite": ("jit.py",),
    "dask": ("execution/",),
}
LONGEST = 300  # lines of a module
MOST = 7  # arguments of a function
MANY_ARGUMENTS = {  # but for these, and why
    ("cli/consensus.py", "consensus"): "the options of the command",
    ("cli/estimate.py", "estimate"): "the options of the command",
    ("cli/extract.py", "extract"): "the options of the command",
    ("cli/reconstruct.py", "reconstruct"): "the options of the command",
    ("cli/iterate.py", "iterate"): "the options of the command",
    ("cli/localres.py", "localres"): "the options of the command",
    ("cli/mask.py", "mask"): "the options of the command",
    ("cli/simulate.py", "simulate"): "the options of the command",
    ("cli/study.py", "study"): "the options of the command",
    ("cli/validate.py", "validate"): "the options of the command",
    ("evidence.py", "gather"): "three inputs, and what is asked of the pass by keyword",
    ("spectra.py", "_accumulate"): "a compiled kernel takes arrays, not records",
}
MUTATORS = set(dir(list)) | set(dir(dict)) | set(dir(set))
MUTATORS -= set(dir(tuple)) | set(dir(frozenset)) | {"get", "items", "keys", "values"}
GENERATORS = {"default_rng", "Generator", "SeedSequence"}


def parsed(source: str) -> ast.Module:
    return ast.parse(source)


TREES = {name: parsed(path.read_text()) for name, path in FILES.items()}


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a module imports, those hidden inside of functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(name: str) -> str:
    """The layer of a file such as io/star.py, or of a module such as parfocal.io.star."""
    return name.removeprefix("parfocal.").split(".")[0].split("/")[0]


def against_the_order(name: str, tree: ast.AST) -> list[str]:
    """Imports of the file `name` that go the wrong way."""
    return [
        module
        for module in imported(tree)
        if module.startswith("parfocal.")
        and module != "parfocal.__version__"
        and (
            layer(module) not in ORDER  # through the facade, which would hide where it leads
            or ORDER.index(layer(module)) > ORDER.index(layer(name))
        )
    ]


def test_there_is_a_package_to_look_at():
    assert len(FILES) > 40


def test_every_module_has_its_place_in_the_order():
    assert {layer(name) for name in FILES if name not in FACADE} == set(ORDER)
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("name", sorted(set(FILES) - set(FACADE)))
def test_imports_go_one_way(name):
    assert against_the_order(name, TREES[name]) == []


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("from parfocal.evidence import gather", ["parfocal.evidence.gather"]),
        ("def f():\n    import parfocal.cli.app", ["parfocal.cli.app"]),
        ("from parfocal import gather", ["parfocal.gather"]),
        ("from parfocal import __version__\nfrom parfocal.optics import ctf\nimport numpy", []),
    ],
)
def test_an_import_the_wrong_way_is_seen(code, wrong):
    assert against_the_order("grid.py", parsed(code)) == wrong


def test_the_facade_is_asked_for_the_version_only():
    for name, tree in TREES.items():
        asked = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "parfocal"
        }
        assert asked <= {"__version__"}, name


def module_of(dotted: str) -> str | None:
    """The file that defines `dotted`, such as parfocal.io.star.read_star; None of other packages."""
    parts = dotted.split(".")[1:] if dotted.startswith("parfocal.") else []
    for end in range(len(parts), 0, -1):
        for name in ("/".join(parts[:end]) + ".py", "/".join(parts[:end]) + "/__init__.py"):
            if name in FILES:
                return name
    return None


def test_no_module_imports_itself_by_a_detour():
    graph = {
        name: {other for module in imported(tree) if (other := module_of(module))} - {name}
        for name, tree in TREES.items()
        if name not in FACADE
    }
    order = list(TopologicalSorter(graph).static_order())  # CycleError if there is one
    assert len(order) >= len(graph) > 40


@pytest.mark.parametrize("library", HOMES)
def test_libraries_stay_at_home(library):
    users = {
        name
        for name, tree in TREES.items()
        if library in {module.split(".")[0] for module in imported(tree)}
    }
    assert not {name for name in users if not name.startswith(HOMES[library])}
    assert users or library == "dask"


def test_only_the_command_line_prints():
    for name, tree in TREES.items():
        calls = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not calls & {"print", "input", "exit", "breakpoint"} or name.startswith("cli/"), name


@pytest.mark.parametrize("name", FILES)
def test_modules_are_short(name):
    assert len(FILES[name].read_text().splitlines()) <= LONGEST


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def argument_count(function) -> int:
    given = function.args
    names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([n for n in names if n not in ("self", "cls")])


def test_functions_take_few_arguments():
    many = {
        (name, function.name): argument_count(function)
        for name, tree in TREES.items()
        for function in functions(tree)
        if argument_count(function) > MOST
    }
    assert many.keys() - MANY_ARGUMENTS.keys() == set(), many
    assert many.keys() == MANY_ARGUMENTS.keys(), "this one needs no exception any more"


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Public functions, classes and methods without a docstring; of one line they need none."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for node in (tree, *(c for c in classes if "Protocol" not in map(ast.unparse, c.bases))):
        for child in node.body:
            if not isinstance(child, ast.FunctionDef | ast.ClassDef) or child.name.startswith("_"):
                continue
            owner = node.name if isinstance(node, ast.ClassDef) else ""
            if ast.get_docstring(child) is None and len(child.body) > 1 and owner[:1] != "_":
                yield child.name


@pytest.mark.parametrize("name", FILES)
def test_what_is_public_has_a_docstring(name):
    assert ast.get_docstring(TREES[name]) or not TREES[name].body
    assert list(undocumented(TREES[name])) == []


def test_a_missing_docstring_is_seen():
    function = "def {}:\n{indent}    x = 1\n{indent}    return x\n"
    code = function.format("f()", indent="") + "class A:\n    y = 1\n    "
    code += function.format("g(self)", indent="    ")
    assert list(undocumented(parsed(code))) == ["f", "A", "g"]


def global_state(tree: ast.Module) -> list[str]:
    """What keeps state between calls: `global`, caches, and module-level values that are changed."""
    names = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    found = []
    for function in functions(tree):
        decorators = {ast.unparse(d).split("(")[0].split(".")[-1] for d in function.decorator_list}
        found += [f"{function.name} is cached" for _ in decorators & {"cache", "lru_cache"}]
        local = {a.arg for a in ast.walk(function) if isinstance(a, ast.arg)} | {
            n.id
            for n in ast.walk(function)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        shared = names - local
        for node in ast.walk(function):
            if isinstance(node, ast.Global):
                found.append(f"global {', '.join(node.names)}")
            changed = None
            if isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(
                node.ctx, ast.Load
            ):
                changed = node.value
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                changed = node.func.value if node.func.attr in MUTATORS else None
            if isinstance(changed, ast.Name) and changed.id in shared:
                found.append(f"{changed.id} is changed by {function.name}")
    return found


@pytest.mark.parametrize("name", FILES)
def test_there_is_no_global_state(name):
    assert global_state(TREES[name]) == []


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n    global x\n    x = 1",
        "HELD = {}\ndef f():\n    HELD['a'] = 1",
        "HELD: dict = {}\ndef f():\n    HELD.update(a=1)",
        "HELD = []\ndef f():\n    HELD.append(1)",
        "HELD = object()\ndef f():\n    HELD.a = 1",
        "HELD = []\ndef f():\n    del HELD[0]",
        "@functools.lru_cache(maxsize=1)\ndef f(): ...",
        "@cache\ndef f(): ...",
    ],
)
def test_global_state_is_seen(code):
    assert len(global_state(parsed(code))) == 1


def test_what_only_looks_like_global_state_is_not():
    code = "HELD = {}\ndef f():\n    HELD = {}\n    HELD['a'] = 1\n    x = HELD.get(1)"
    assert global_state(parsed(code)) == []


def global_randomness(tree: ast.AST) -> list[str]:
    """Uses of numpy's or Python's global random state."""
    asked = [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) in ("np.random", "numpy.random")
    ]
    return [name for name in asked if name not in GENERATORS] + [
        module
        for module in imported(tree)
        if module.split(".")[0] in ("random", "secrets") or module.startswith("numpy.random")
    ]


@pytest.mark.parametrize("name", FILES)
def test_randomness_comes_from_generators_that_are_passed(name):
    assert global_randomness(TREES[name]) == []


@pytest.mark.parametrize(
    "code",
    [
        "np.random.seed(1)",
        "x = np.random.normal()",
        "import random",
        "from numpy.random import rand",
    ],
)
def test_global_randomness_is_seen(code):
    assert len(global_randomness(parsed(code))) == 1


def test_no_builtin_is_shadowed_but_by_options_of_a_command():
    shadowed = {
        (name, argument.arg)
        for name, tree in TREES.items()
        for function in functions(tree)
        for argument in ast.walk(function.args)
        if isinstance(argument, ast.arg) and argument.arg in dir(builtins)
    }
    assert {name.split("/")[0] for name, _ in shadowed} <= {"cli"}, shadowed


@pytest.mark.parametrize(
    "module", ["spectra", "projection", "insertion", "symmetry", "inversion", "simulate.nufft"]
)
def test_compiled_code_is_kept_outside_of_the_source(module):
    kernels = [
        value
        for value in vars(import_module(f"parfocal.{module}")).values()
        if hasattr(value, "py_func") and value.py_func.__module__ == f"parfocal.{module}"
    ]
    cached = [kernel for kernel in kernels if getattr(kernel._cache, "cache_path", None)]
    assert cached
    for kernel in cached:
        assert PACKAGE not in Path(kernel._cache.cache_path).parents
