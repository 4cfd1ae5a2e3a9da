"""Every class of the catalogue: what it says, what it is, and that it survives pickling."""

import copy
import inspect
import pickle

import pytest

from ramie import errors

ARGUMENTS = {
    "AlreadyExistsError": ("/data/x",),
    "ApplyModuleInvalidMethodError": ("no_such_method",),
    "ApplyScopeInvalidVariablesStructureError": ({"params": {"params": {"kernel": 1}}},),
    "ApplyScopeInvalidVariablesTypeError": (),
    "AssignSubModuleError": ("Dense",),
    "CallCompactUnboundModuleError": (),
    "CallSetupUnboundModuleError": (),
    "CallShareScopeOnUnboundModuleError": (),
    "CallUnbindOnUnboundModuleError": (),
    "CheckpointBusyError": ("/data", 30.0),
    "CheckpointMismatchError": ("/data/checkpoint_3", ["./a"], [], ["./b: (2,) wanted"]),
    "CheckpointNotFoundError": ("/data", "checkpoint_7", ("checkpoint_3",)),
    "CheckpointOptionError": ("prefix", "a/b", "it holds a slash"),
    "CompilerFailedError": ("v5e:2x4", "its process ended"),
    "CursorFindError": (),
    "DamagedCheckpointError": ("/data/checkpoint_3", [(0, 16)]),
    "DescriptorAttributeError": (),
    "FormatLimitError": ("safetensors", "PRNG keys", "rng/key", "Save their words"),
    "ImmutableVariableError": ("cannot change",),
    "IncorrectPostInitOverrideError": (),
    "InputShapeError": ("Linear at /", "size 3 along axis -1", "float32[2,5]", "width", "no"),
    "InvalidCheckpointError": ("/data/checkpoint_3", 3),
    "InvalidFilterError": (3.5,),
    "InvalidInstanceModuleError": (),
    "InvalidRngError": ("no dropout key",),
    "InvalidScopeError": ("dense",),
    "JaxTransformError": (),
    "LazyInitError": ("f32[3]",),
    "MPACheckpointingRequiredError": ("/data", 3),
    "MPARestoreDataCorruptedError": (3, "/data"),
    "MPARestoreTargetRequiredError": ("/data", 3, "params/kernel"),
    "MPARestoreTypeNotMatchError": (3, "/data"),
    "MalformedDataError": ("the bytes end early", "./params", 12),
    "MetricNotFoundError": ("eval", "loss", "metric", "the summary", ("accuracy",)),
    "MissingExtraError": ("fsspec", "remote", "reach gs:// paths"),
    "MissingInJaxError": ("jax._src.hijax.Box", "keep a value in a box", "0.99"),
    "ModifyScopeVariableError": ("batch_stats", "mean", "/norm"),
    "MultipleMethodsCompactError": (),
    "NameInUseError": ("param", "bias", "Dense"),
    "PartitioningUnspecifiedError": ("Partitioned(x)",),
    "PlanArgumentError": ("x has 2 dimensions",),
    "PlanMeshError": ("data=3 does not fit",),
    "ProcessFailedError": (1, 2, "tests:step", "ended with code 3", "the last line"),
    "ProcessTargetError": ("a lambda cannot be imported",),
    "ProcessTimeoutError": ([0], 2, "tests:step", 5.0, "waiting"),
    "RamieError": ("something",),
    "ReservedModuleAttributeError": ({"name": str},),
    "ScopeCollectionNotFound": ("batch_stats", "mean", "/norm"),
    "ScopeParamNotFoundError": ("kernel", "/dense"),
    "ScopeParamShapeError": ("kernel", "/dense", (2, 3), (4, 3)),
    "ScopeVariableNotFoundError": ("mean", "batch_stats", "/norm"),
    "SetAttributeFrozenModuleError": ("Dense", "features", 5),
    "SetAttributeInModuleSetupError": (),
    "StateDictMismatchError": (["params/conv/kernel needs 'conv.weight'"],),
    "TraceContextError": ("from another trace",),
    "TransformTargetError": (7,),
    "TransformedMethodReturnValueError": ("encode",),
    "TraverseTreeError": (None, None),
    "UnknownTopologyError": ("v5e:3x3", ["v5e:2x4"], "a host has 2x2 chips"),
    "UnsupportedCheckpointError": ("Partial restore", "Restore the whole."),
}


def make(name: str) -> errors.RamieError:
    return getattr(errors, name)(*ARGUMENTS[name])


def test_the_table_above_is_complete():
    classes = {name for name in errors.__all__ if name != "FlaxError"}
    assert classes == set(ARGUMENTS)
    assert errors.FlaxError is errors.RamieError


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_an_error_tells_its_facts_and_explains_itself(name):
    text = str(make(name))
    for argument in ARGUMENTS[name]:
        if isinstance(argument, (str, int)):
            assert str(argument) in text
    assert inspect.getdoc(getattr(errors, name))


@pytest.mark.parametrize("name", sorted(set(ARGUMENTS) - {"RamieError"}))
def test_an_error_is_also_a_builtin_one(name):
    cls = getattr(errors, name)
    assert issubclass(cls, errors.RamieError)
    builtins = {base for base in cls.__mro__ if base.__module__ == "builtins"}
    assert builtins - {Exception, BaseException, object}


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_pickling_and_copying_keep_class_and_text(name):
    error = make(name)
    error.add_note("seen in a worker")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.args == error.args
        assert again.__notes__ == ["seen in a worker"]


def test_an_error_of_a_users_own_survives_pickling_too():
    again = pickle.loads(pickle.dumps(OwnError(3, 4)))
    assert (type(again), str(again), again.left) == (OwnError, "3 is not 4", 3)


class OwnError(errors.NameInUseError):
    def __init__(self, left: int, right: int) -> None:
        errors.RamieError.__init__(self, f"{left} is not {right}")
        self.left = left


def test_no_attribute_errors_that_python_would_swallow():
    """Errors of modules may leave a property or `__getattr__`, where AttributeError gets lost."""
    for name in errors.__all__:
        assert not issubclass(getattr(errors, name), (AttributeError, StopIteration, KeyError))


@pytest.mark.parametrize("name", ["JaxTransformError", "CallCompactUnboundModuleError"])
def test_the_module_is_named_where_it_is_known(name):
    assert "in Module Encoder" in str(getattr(errors, name)(module="Encoder"))


def test_the_section_of_our_page_is_named_for_every_class_but_the_root():
    for name in ARGUMENTS:
        link = f" (docs/errors.md#flax.errors.{name})"
        assert str(make(name)).endswith(link) == (name != "RamieError")


def test_paths_may_be_given_as_tuples():
    assert '"/a/b"' in str(errors.ScopeParamNotFoundError("kernel", ("a", "b")))
    assert '"/"' in str(errors.ScopeParamNotFoundError("kernel", ()))


def test_an_attribute_is_described_without_its_values():
    import numpy as np

    text = str(errors.SetAttributeFrozenModuleError("Net", "w", np.zeros((3, 4))))
    assert "shape=(3, 4)" in text and "0." not in text.partition("(docs")[0]
    long = str(errors.SetAttributeFrozenModuleError("Net", "w", "x" * 1000))
    assert "x" * 190 in long and "x" * 201 not in long


def test_the_extra_to_install_is_named():
    error = errors.MissingExtraError("fsspec", "remote", "reach gs:// paths")
    assert (error.package, error.extra) == ("fsspec", "remote")
    assert "pip install 'ramie[remote]'" in str(error)
    assert isinstance(error, ImportError)


def test_traversals_need_exactly_one_function():
    assert "are None" in str(errors.TraverseTreeError(None, None))
    assert "are not None" in str(errors.TraverseTreeError(len, len))
