"""The import hook: one finder that answers for `flax` and `flax_extra`, and its switch."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from types import ModuleType

import ramie
from ramie.compat import distribution
from ramie.compat.aliases import ALIASES, is_aliased, target_of
from ramie.compat.holding import Holders
from ramie.compat.namespace import Namespace
from ramie.compat.version import __version__ as flax_version
from ramie.foundation.terminals import Tables
from ramie.foundation.version import __version__ as ramie_version


class AliasLoader(Loader):
    """Puts an existing Ramie module into `sys.modules` under a second name."""

    def __init__(self) -> None:
        self.loaded: dict[str, ModuleType] = {}
        self.attributes: list[tuple[ModuleType, str]] = []
        self.holders = Holders()

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Build the namespace of a root; leave every other name to `exec_module`."""
        return Namespace(spec.name) if target_of(spec.name) is None else None

    def exec_module(self, module: ModuleType) -> None:
        """Import the module behind the alias and let it take the place of the empty one.

        The import system hands out whatever `sys.modules` holds afterwards, so the Ramie module
        keeps its own `__spec__`, `__name__` and loader.
        """
        name = module.__name__
        target = target_of(name)
        if target is None:
            self.loaded[name] = module
            return
        real = importlib.import_module(target)
        sys.modules[name] = real
        self.loaded[name] = real
        parent_name, _, child = name.rpartition(".")
        parent = sys.modules.get(parent_name)
        if parent is not None and child not in vars(parent):
            self.attributes.append((parent, child))  # the import system is about to set it
        self.holders.expect(real.__name__, name)
        for alias, behind in ALIASES.items():
            # `flax_extra.checkpoint._checkpoint` is read as an attribute as well.
            if alias.rpartition(".")[0] == name and _find(behind) is not None:
                importlib.import_module(alias)

    def forget(self) -> None:
        """Take back every name this loader gave out."""
        for name, module in self.loaded.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        for parent, child in self.attributes:
            if child in vars(parent):
                delattr(parent, child)
        self.loaded.clear()
        self.attributes.clear()
        self.holders.forget()


class AliasFinder(MetaPathFinder):
    """Answers imports and metadata searches for the aliased packages, before any other finder."""

    def __init__(self) -> None:
        self.loader = AliasLoader()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for an aliased name or for a module that answers to more, else None.

        Raises:
            ModuleNotFoundError: an aliased name with nothing behind it is being imported. A mere
                question through `importlib.util.find_spec` is answered with None instead.
        """
        if not is_aliased(fullname):
            return self.loader.holders.find(fullname, path)
        real = target_of(fullname)
        if real is None:
            return _spec(fullname, self.loader, ramie.__spec__)
        found = _find(real)
        if found is None:
            if _is_a_question():
                return None
            raise ModuleNotFoundError(_message(fullname, real), name=real)
        return _spec(fullname, self.loader, found)

    def find_distributions(
        self, context: DistributionFinder.Context | None = None
    ) -> Iterator[Distribution]:
        """Answer `importlib.metadata` for the distribution `flax`."""
        return distribution.find_distributions(context or DistributionFinder.Context())


def _spec(name: str, loader: Loader, behind: ModuleSpec) -> ModuleSpec:
    """Describe an alias with the place of the module behind it."""
    locations = behind.submodule_search_locations
    spec = ModuleSpec(name, loader, origin=behind.origin, is_package=locations is not None)
    spec.submodule_search_locations = locations
    return spec


def _find(name: str) -> ModuleSpec | None:
    """Find a module without running it; its parent packages are imported."""
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        # `error.name` is a parent of the module sought: that is an answer, anything else a defect.
        if error.name is not None and (name + ".").startswith(error.name + "."):
            return None
        raise


def _is_a_question() -> bool:
    """Tell `importlib.util.find_spec` from an import; the import system calls a finder alike."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__") == "importlib._bootstrap":
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None and frame.f_globals.get("__name__") == "importlib.util"


def _message(name: str, real: str) -> str:
    root = name.partition(".")[0]
    return (
        f"No module or name {name!r}: `{root}` is Ramie {ramie_version} here, because ramie.compat "
        f"is installed in this process, and Ramie has no {real!r}. It has all public paths of Flax "
        f"{flax_version}: check the spelling. Paths of older releases, such as `flax.nn` and "
        "`flax.deprecated`, are gone from Flax, too; most private ones are not here"
    )


_FINDER = AliasFinder()


def is_installed() -> bool:
    """Tell whether `import flax` means Ramie in this process."""
    return _FINDER in sys.meta_path


def install() -> None:
    """Make `flax` and `flax_extra` mean Ramie, in this process, from now on.

    Every path resolves to the Ramie module itself, so a class has one identity whichever way it was
    imported, and pickles that name `flax.*` classes load. `importlib.util.find_spec("flax")` and
    `importlib.metadata.version("flax")` answer as well. Calling it again changes nothing.

    Raises:
        ImportError: the real package has been imported already. Two libraries under one name would
            share neither classes nor registries, so call this before anything imports `flax`.

    Example:
        >>> import ramie.compat
        >>> ramie.compat.install()
        >>> import flax
        >>> flax.__version__
        '0.12.12'
        >>> ramie.compat.uninstall()
    """
    if is_installed():
        return
    foreign = sorted(name for name in sys.modules if is_aliased(name))
    if foreign:
        where = getattr(sys.modules[foreign[0]], "__file__", None) or "an unknown place"
        raise ImportError(
            f"ramie.compat.install() came too late: {foreign[0]!r} is already imported, from "
            f"{where}. Call install() before the first import of flax, also by other packages, "
            "or start the program with `python -m ramie.compat SCRIPT`"
        )
    sys.meta_path.insert(0, _FINDER)
    Tables.always_coloured = True


def uninstall() -> None:
    """Undo `install`: a later `import flax` finds the real package, or nothing.

    Modules and classes that were already imported stay valid, as they are Ramie's own. Calling it
    without a previous `install` changes nothing.
    """
    if is_installed():
        sys.meta_path.remove(_FINDER)
        Tables.always_coloured = False
        _FINDER.loader.forget()
