"""Tests mirror the package: agents/reasond/a/b.py is tested by test_b.py in the folder a of some tier."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "agents" / "reasond"
TIERS = ("unit", "contract", "services")

# Module (path below agents/reasond) -> why it needs no test file of its own name. An entry that is no
# longer needed fails too.
EXCEPTIONS = {
    "brains/transport.py": "only means something with the SDK: tests/contract/test_brains.py",
    "commands/setup_influxdb.py": "a thin command: tests/services/test_influxdb_setup.py runs it on a real InfluxDB",
    "core/effects.py": "plain data; its one property divides by a constant",
    "embedded/minutes.py": "one question of the embedded store's, held to InfluxDB by tests/contract/test_store.py",
    "errors.py": "texts and exit statuses, asserted where they are raised and in test_cli.py",
    "flux.py": "query texts and their reading, held to the embedded store by tests/contract/test_store.py",
    "operator/queries.py": "query texts, held to the embedded store by tests/services/operator/test_records.py",
}


def does_something(function):
    """Tell whether a function has more than a docstring, an ellipsis or a plain return of an attribute."""
    return any(
        not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in function.body
    )


def declares_behaviour(module):
    """Tell whether a module defines a function that does something; structs and protocols alone don't."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return any(
        isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and does_something(node) for node in ast.walk(tree)
    )


def modules():
    """Return the paths below the package of all modules that need a test file."""
    return [module.relative_to(PACKAGE) for module in sorted(PACKAGE.rglob("*.py")) if declares_behaviour(module)]


def places_of_tests(module):
    """Return where the tests of a module may stand; those of a package's `__init__` carry its name."""
    named = module.parent if module.name == "__init__.py" else module.with_suffix("")
    return [ROOT / "tests" / tier / named.parent / f"test_{named.name}.py" for tier in TIERS]


def untested():
    """Return the modules without a test file of their name."""
    return {
        module.as_posix()
        for module in modules()
        if not any(candidate.exists() for candidate in places_of_tests(module))
    }


def test_each_module_has_a_test_file_of_its_name():
    missing = sorted(untested() - set(EXCEPTIONS))

    assert not missing, "no test file for: " + ", ".join(missing)


def test_each_exception_is_still_needed():
    stale = sorted(set(EXCEPTIONS) - untested())

    assert not stale, "exceptions to remove: " + ", ".join(stale)
