"""Is this class a backend (a wrapper)? Asked before it is built: an unfit plugin is one line at start, no more."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.plugins.hookspecs import HOOKS, MPU_HOOKS, PROJECT
from gateway.plugins.wrapping import Wrapper
from gateway.settings import Secret, Setting

BLOB_HOOKS = tuple(hook for hook in HOOKS if hook not in MPU_HOOKS)


class PluginFault(Exception):
    """A plugin cannot serve; str() is one line for the operator."""

    def __str__(self) -> str:
        return " ".join(super().__str__().split())


class PluginMissing(PluginFault):
    """No installed distribution offers that backend or wrapper."""


class PluginBroken(PluginFault):
    """The distribution is there, its code cannot be imported."""


class PluginUnfit(PluginFault):
    """The code is there, it does not keep the contract."""


def implemented(plugin: object) -> set[str]:
    """The names of the hooks that a class, or an object of it, marks with ``hookimpl``."""
    return {hook for hook in HOOKS if hasattr(getattr(plugin, hook, None), f"{PROJECT}_impl")}


def check_hooks(who: str, hooks: Iterable[str]) -> bool:
    """True for native multipart, False for none; PluginUnfit where a hook is missing."""
    present = set(hooks)
    missing = [hook for hook in BLOB_HOOKS if hook not in present]
    if missing:
        raise PluginUnfit(f"{who} lacks the hook {', '.join(missing)}: add it, marked with @hookimpl")
    absent = [hook for hook in MPU_HOOKS if hook not in present]
    if 0 < len(absent) < len(MPU_HOOKS):
        raise PluginUnfit(
            f"{who} implements only a part of the multipart hooks: add {', '.join(absent)}, or remove the others"
        )
    return not absent


def check_class(who: str, candidate: object) -> type:
    """The class, if its hooks and declarations are those of a backend; PluginUnfit tells what is wrong."""
    if not isinstance(candidate, type):
        raise PluginUnfit(f"{who} is no class but {type(candidate).__name__}: let the entry point name the class")
    check_hooks(who, implemented(candidate))
    _check_declared(who, candidate, "settings", Setting, getattr(candidate, "settings", None))
    _check_declared(who, candidate, "secrets", Secret, getattr(candidate, "secrets", ()))
    return candidate


def check_wrapper(who: str, candidate: object) -> type:
    """The class, if it is a wrapper with declared settings; PluginUnfit tells what is wrong."""
    if not isinstance(candidate, type) or not issubclass(candidate, Wrapper):
        raise PluginUnfit(f"{who} is no subclass of gateway.api.Wrapper: let the entry point name such a class")
    _check_declared(who, candidate, "settings", Setting, getattr(candidate, "settings", None))
    return candidate


def _check_declared(who: str, candidate: type, attribute: str, kind: type, declared: object) -> None:
    if not isinstance(declared, tuple | list) or not all(isinstance(one, kind) for one in declared):
        raise PluginUnfit(f"{who}: {candidate.__name__}.{attribute} is no tuple of {kind.__name__}")
