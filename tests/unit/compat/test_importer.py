"""`import flax` after `install()`: one module object per pair, and back again."""


def test_paths_share_one_module_object(passes):
    passes(
        """
        import ramie.compat
        ramie.compat.install()
        import flax.core.frozen_dict, flax.errors, flax.struct
        import ramie.trees.frozen, ramie.errors, ramie.struct
        assert flax.core.frozen_dict is ramie.trees.frozen
        assert flax.errors is ramie.errors and flax.struct is ramie.struct
        assert flax.errors.__name__ == flax.errors.__spec__.name == "ramie.errors"
        assert isinstance(ramie.core.FrozenDict(a=1), flax.core.frozen_dict.FrozenDict)
        """
    )


def test_attributes_lead_to_the_same_modules_as_imports(passes):
    passes(
        """
        import ramie.compat
        ramie.compat.install()
        import flax
        assert flax.core.frozen_dict.FrozenDict is flax.core.FrozenDict
        import ramie
        assert flax.traverse_util is ramie.traverse_util
        assert flax.config is ramie.config
        """
    )


def test_nothing_happens_before_install(passes):
    passes(
        """
        import sys
        before = list(sys.meta_path)
        import ramie.compat
        assert sys.meta_path == before and not ramie.compat.is_installed()
        """
    )


def test_install_twice_is_install_once_and_uninstall_takes_everything_back(passes):
    passes(
        """
        import sys, ramie.core, ramie.compat, ramie.trees
        finders, names = list(sys.meta_path), set(vars(ramie.core))
        ramie.compat.uninstall()
        ramie.compat.install()
        ramie.compat.install()
        assert len(sys.meta_path) == len(finders) + 1 and ramie.compat.is_installed()
        import flax.core.frozen_dict
        assert "flax.core.frozen_dict" in sys.modules
        ramie.compat.uninstall()
        assert sys.meta_path == finders and not ramie.compat.is_installed()
        assert not [name for name in sys.modules if name.partition(".")[0] == "flax"]
        new = set(vars(ramie.core)) - names  # what lies there by our own imports stays
        assert all(f"ramie.core.{name}" in sys.modules or name in dir(ramie.core) for name in new)
        ramie.compat.install()
        import flax.core.frozen_dict
        assert flax.core.frozen_dict is ramie.trees.frozen
        """
    )


def test_versions_and_metadata_are_those_of_the_peer(passes):
    passes(
        """
        import importlib.metadata, importlib.util
        import ramie.compat
        ramie.compat.install()
        assert importlib.util.find_spec("flax") is not None
        assert importlib.util.find_spec("flax.core") is not None
        import flax, flax.version, ramie
        versions = {flax.__version__, flax.version.__version__, importlib.metadata.version("flax")}
        assert versions == {"0.12.12"} and ramie.__version__ != "0.12.8"
        meta = importlib.metadata.distribution("flax")
        assert meta.metadata["Name"] == "flax" and meta.read_text("RECORD") is None
        assert [d.version for d in importlib.metadata.distributions(name="flax")][0] == "0.12.12"
        assert importlib.metadata.version("ramie") == ramie.__version__
        """
    )


def test_pickles_that_name_flax_classes_load(passes):
    passes(
        """
        import pickle, ramie.compat
        ramie.compat.install()
        from ramie.trees.frozen import FrozenDict
        data = pickle.dumps(FrozenDict({"a": 1}), protocol=0)
        renamed = data.replace(b"ramie.trees.frozen\\n", b"flax.core.frozen_dict\\n")
        assert renamed != data
        loaded = pickle.loads(renamed)
        assert type(loaded) is FrozenDict and loaded == FrozenDict({"a": 1})
        """
    )


def test_a_missing_path_says_that_flax_is_ramie(run):
    for statement in ("import flax.no_such", "from flax import no_such"):
        result = run(f"import ramie.compat; ramie.compat.install()\n{statement}")
        assert result.returncode == 1
        assert "ModuleNotFoundError" in result.stderr
        assert "`flax` is Ramie" in result.stderr and "'ramie.no_such'" in result.stderr


def test_a_path_that_left_flax_is_not_said_to_be_lacking_here(run):
    for statement in ("import flax.deprecated", "from flax.deprecated import nn", "import flax.nn"):
        result = run(f"import ramie.compat; ramie.compat.install()\n{statement}")
        assert "all public paths of Flax 0.12.12" in result.stderr
        assert "older releases" in result.stderr and "gone from Flax, too" in result.stderr


def test_asking_for_a_missing_path_is_no_error(passes):
    passes(
        """
        import importlib.util, ramie.compat
        ramie.compat.install()
        assert importlib.util.find_spec("flax.no_such") is None
        assert importlib.util.find_spec("flax.core.no_such") is None
        """
    )


def test_a_missing_attribute_says_that_flax_is_ramie(run):
    result = run("import ramie.compat; ramie.compat.install()\nimport flax; flax.no_such")
    assert "AttributeError" in result.stderr and "`flax` is Ramie" in result.stderr


def test_an_error_inside_a_module_is_not_taken_for_its_absence(run, tmp_path):
    (tmp_path / "broken.py").write_text("import a_package_nobody_has\n")
    result = run(
        """
        import ramie, ramie.compat
        ramie.__path__.append(".")
        ramie.compat.install()
        import flax.broken
        """
    )
    assert "No module named 'a_package_nobody_has'" in result.stderr


def test_refuses_when_another_flax_is_loaded(run, tmp_path):
    (tmp_path / "flax.py").write_text("")
    result = run("import flax, ramie.compat; ramie.compat.install()")
    assert result.returncode == 1 and "came too late" in result.stderr
    assert "flax.py" in result.stderr


def test_an_installed_flax_that_is_not_loaded_is_passed_over(passes, tmp_path):
    (tmp_path / "flax.py").write_text("raise SystemExit('the wrong flax')")
    passes("import ramie.compat; ramie.compat.install(); import flax; flax.errors")


def test_old_optimizers_name_their_successor(run):
    result = run("import ramie.compat; ramie.compat.install()\nimport flax; flax.optim.Adam")
    assert "AttributeError" in result.stderr and "optax.adam" in result.stderr
    result = run("import ramie.compat; ramie.compat.install()\nimport flax.optim as o; o.Whatever")
    assert "AttributeError" in result.stderr and "optax" in result.stderr


def test_submodules_of_the_alias_can_be_listed(passes):
    passes(
        """
        import pkgutil, ramie.compat
        ramie.compat.install()
        import flax
        found = {module.name for module in pkgutil.iter_modules(flax.__path__, "flax.")}
        assert "flax.errors" in found
        assert "errors" in dir(flax)
        """
    )


def test_flax_extra_shares_the_version_free_root(passes):
    passes(
        """
        import ramie.compat
        ramie.compat.install()
        import flax_extra.checkpoint, ramie.checkpoint
        assert flax_extra.checkpoint is ramie.checkpoint
        import pickle
        from flax_extra.checkpoint import Checkpoint, CheckpointFile
        assert issubclass(ramie.checkpoint.Summary, Checkpoint)
        from flax_extra.checkpoint._checkpoint_file import CheckpointFile as named_by_pickles
        assert named_by_pickles is CheckpointFile
        file = CheckpointFile({}, {}, (), 3)
        assert pickle.loads(pickle.dumps(file)) == ramie.checkpoint.CheckpointFile({}, {}, (), 3)
        """
    )
