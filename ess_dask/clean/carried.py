"""A user's function on its way to the workers: found in the pipeline's folder, pickled by value."""

from __future__ import annotations

import difflib
import importlib
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from ess_dask.errors import ConfigError

Function = Callable[[Any], Any]

_importing = threading.Lock()

_INSTALLED = "site-packages"

_OURS = __name__.partition(".")[0]
"""Every worker has this package: it is neither imported anew nor carried."""


def pack_reference(reference: str, folder: str) -> tuple[bytes, Function]:
    """Return ``module:function``, looked up in ``folder`` first, as pickled bytes and as itself.

    The modules of the folder travel inside the bytes: a worker needs none of them. Raises
    ``ConfigError`` saying where was searched.
    """
    module_name, _, function_name = reference.partition(":")
    if not module_name or not function_name.isidentifier():
        raise ConfigError(
            f"python: {reference!r} is not of the form module:function",
            hint="for example: pipelines.woodworking:fix_ids",
        )
    root = Path(folder).resolve()
    with _importing, _only_for_now(root, module_name):
        module = _import(module_name, root)
        function = _member(module, function_name)
        own = [module] if _is_users(module) else []
        return _pack(function, [*own, *_modules_below(root)]), function


def pack_callable(function: Function) -> bytes:
    """Return a callable as pickled bytes, with the module it was defined in when that is a script.

    Raises ``ConfigError`` when it holds something that cannot travel (an open file, a lock).
    """
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    return _pack(function, [module] if module is not None and _is_users(module) else [])


@lru_cache(maxsize=64)
def unpack(payload: bytes) -> Function:
    """Return the function in the bytes; one object for all calls in this process."""
    import cloudpickle

    return cast("Function", cloudpickle.loads(payload))


def _pack(function: Function, modules: list[ModuleType]) -> bytes:
    import pickle

    import cloudpickle

    with ExitStack() as stack:
        for module in modules:
            if module.__name__ in sys.modules:
                stack.enter_context(_by_value(module))
        try:
            return bytes(cloudpickle.dumps(function))
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            name = getattr(function, "__name__", repr(function))
            raise ConfigError(
                f"python: {name} cannot be sent to the workers: {error}",
                hint="open files, locks and connections inside the function, not around it",
            ) from None


@contextmanager
def _by_value(module: ModuleType) -> Iterator[None]:
    import cloudpickle

    if module.__name__ in cloudpickle.list_registry_pickle_by_value():
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


@contextmanager
def _only_for_now(root: Path, module_name: str) -> Iterator[None]:
    """Put ``root`` first on the path; afterwards path and modules are as they were.

    So two pipelines in two folders may both have a module ``cleaning``.
    """
    top = module_name.partition(".")[0]
    local = _is_source(root, top)
    hidden = {name: sys.modules.pop(name) for name in _names_below(top)} if local else {}
    before = set(sys.modules)
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(root))
        made = {module.__name__ for module in _modules_below(root)} - before
        for name in {*made, *(_names_below(top) if local else ())}:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)


def _names_below(top: str) -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == top]


def _is_source(root: Path, top: str) -> bool:
    return top != _OURS and ((root / top).is_dir() or (root / f"{top}.py").is_file())


def _is_users(module: ModuleType) -> bool:
    """Whether a module is neither ours, nor installed, nor Python's."""
    file = _file(module)
    return file is not None and _INSTALLED not in file.parts


def _file(module: ModuleType) -> Path | None:
    """The source of a module that is neither ours nor Python's."""
    file = str(getattr(module, "__file__", None) or "")
    if not file or module.__name__.partition(".")[0] == _OURS:
        return None
    # What is installed lies below Python's own folder, too.
    pythons = file.startswith(sysconfig.get_path("stdlib")) and _INSTALLED not in file
    return None if pythons else Path(file)


def _modules_below(root: Path) -> list[ModuleType]:
    """The modules whose source lies below ``root``, but for what is installed there.

    The folder itself may be part of an installed package, as that of the shipped pipelines is.
    """
    return [module for module in list(sys.modules.values()) if _is_below(module, root)]


def _is_below(module: ModuleType, root: Path) -> bool:
    file = _file(module)
    if file is None or not file.resolve().is_relative_to(root):
        return False
    return _INSTALLED not in file.resolve().relative_to(root).parts


def _import(name: str, root: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(
                f"python: there is no module {name!r}",
                hint=f"searched in {root}, then where Python's packages are installed",
            ) from None
        raise ConfigError(f"python: {name} needs a module that is missing: {error.name}") from None
    except SyntaxError as error:
        raise ConfigError(f"{error.filename}:{error.lineno}:{error.offset}: {error.msg}") from None
    # Importing runs the user's code: whatever it raises is the user's error, not ours.
    except Exception as error:
        raise ConfigError(
            f"python: importing {name} failed: {type(error).__name__}: {error}"
        ) from None


def _member(module: ModuleType, name: str) -> Function:
    found = getattr(module, name, None)
    if callable(found):
        return cast("Function", found)
    names = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
    close = difflib.get_close_matches(name, names, n=1)
    known = f"did you mean {close[0]!r}?" if close else f"it has: {', '.join(names) or 'none'}"
    raise ConfigError(f"python: {module.__name__} has no function {name!r}", hint=known)
