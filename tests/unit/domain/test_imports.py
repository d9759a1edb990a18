"""Imports of the domain's values and errors stay light."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["caller", "errors", "limits", "scopes", "text"])
def test_values_and_errors_import_neither_numpy_nor_pydantic(module: str) -> None:
    program = f"import sys, commontrace.domain.{module}; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"numpy", "pydantic"}.isdisjoint(imported.stdout.split())
