"""`derive.build`: the generated module of an op, imported without a file of its own to keep."""

from __future__ import annotations

import atexit
import importlib.util
import linecache
import os
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType

from derive.catalogue import load
from derive.config import nearest
from derive.emit.files import source
from derive.errors import DeriveError
from derive.notation.op import Op


def build(op: Op | str | os.PathLike[str], backend: str = "triton") -> ModuleType:
    """The module that `derive generate` would write, imported; equal sources give one module.

    Without CUDA, Triton's kernels run under its interpreter.
    """
    from derive.emit.backends import BACKENDS

    runnable = [name for name, row in BACKENDS.items() if row.suffix == ".py"]
    if backend not in runnable:
        hint = nearest(backend, runnable) or f"; there are {', '.join(runnable)}"
        raise DeriveError(f'no backend "{backend}" that can be imported{hint}')
    found = op if isinstance(op, Op) else load(op)
    text = source(found, BACKENDS[backend])
    if backend == "triton":
        ready_triton()
    return _imported(f"{found.name}_{backend}", text)


def ready_triton() -> None:
    """Choose Triton's interpreter where there is no GPU. Triton reads the choice on its import."""
    import torch

    if torch.cuda.is_available():
        return
    if "triton.language" in sys.modules and not _interprets():
        problem = "there is no GPU, and triton was imported before it could be told to interpret"
        raise DeriveError(f"{problem}; set TRITON_INTERPRET=1, or call derive.build first")
    os.environ["TRITON_INTERPRET"] = "1"


def _interprets() -> bool:
    """Was Triton imported with its interpreter on? Its own functions show it."""
    from triton.language import zeros

    return type(zeros).__name__ == "InterpretedFunction"


@cache
def _imported(stem: str, text: str) -> ModuleType:
    """The text as a module, in a file that lives as long as the process: Triton reads it there."""
    path = _private_folder() / f"{stem}_{_imported.cache_info().currsize}.py"
    path.write_text(text, encoding="utf-8", newline="\n")
    name = f"derive_built_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # No modification time: tracebacks find the source even when the file is gone.
    linecache.cache[str(path)] = (len(text), None, text.splitlines(keepends=True), str(path))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@cache
def _private_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="derive-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
