"""The catalogue of errors: one class per mistake, with a message that says what to do.

Reading `help(ramie.errors.X)` explains the mistake at more length than the message can.
"""

from ramie.errors.base import FlaxError as FlaxError
from ramie.errors.base import MissingExtraError as MissingExtraError
from ramie.errors.base import MissingInJaxError as MissingInJaxError
from ramie.errors.base import RamieError as RamieError
from ramie.errors.checkpoint import CheckpointBusyError as CheckpointBusyError
from ramie.errors.checkpoint import CheckpointMismatchError as CheckpointMismatchError
from ramie.errors.checkpoint import CheckpointNotFoundError as CheckpointNotFoundError
from ramie.errors.checkpoint import CheckpointOptionError as CheckpointOptionError
from ramie.errors.checkpoint import DamagedCheckpointError as DamagedCheckpointError
from ramie.errors.checkpoint import ForeignFileError as ForeignFileError
from ramie.errors.checkpoint import FormatLimitError as FormatLimitError
from ramie.errors.checkpoint import IncompleteCheckpointError as IncompleteCheckpointError
from ramie.errors.checkpoint import MalformedDataError as MalformedDataError
from ramie.errors.checkpoint import MetricNotFoundError as MetricNotFoundError
from ramie.errors.checkpoint import UnsupportedCheckpointError as UnsupportedCheckpointError
from ramie.errors.files import AlreadyExistsError as AlreadyExistsError
from ramie.errors.files import InvalidCheckpointError as InvalidCheckpointError
from ramie.errors.files import MPACheckpointingRequiredError as MPACheckpointingRequiredError
from ramie.errors.files import MPARestoreDataCorruptedError as MPARestoreDataCorruptedError
from ramie.errors.files import MPARestoreTargetRequiredError as MPARestoreTargetRequiredError
from ramie.errors.files import MPARestoreTypeNotMatchError as MPARestoreTypeNotMatchError
from ramie.errors.interop import StateDictMismatchError as StateDictMismatchError
from ramie.errors.module import ApplyModuleInvalidMethodError as ApplyModuleInvalidMethodError
from ramie.errors.module import AssignSubModuleError as AssignSubModuleError
from ramie.errors.module import CallCompactUnboundModuleError as CallCompactUnboundModuleError
from ramie.errors.module import CallSetupUnboundModuleError as CallSetupUnboundModuleError
from ramie.errors.module import (
    CallShareScopeOnUnboundModuleError as CallShareScopeOnUnboundModuleError,
)
from ramie.errors.module import CallUnbindOnUnboundModuleError as CallUnbindOnUnboundModuleError
from ramie.errors.module import DescriptorAttributeError as DescriptorAttributeError
from ramie.errors.module import IncorrectPostInitOverrideError as IncorrectPostInitOverrideError
from ramie.errors.module import InputShapeError as InputShapeError
from ramie.errors.module import InvalidInstanceModuleError as InvalidInstanceModuleError
from ramie.errors.module import MultipleMethodsCompactError as MultipleMethodsCompactError
from ramie.errors.module import ReservedModuleAttributeError as ReservedModuleAttributeError
from ramie.errors.module import SetAttributeFrozenModuleError as SetAttributeFrozenModuleError
from ramie.errors.module import SetAttributeInModuleSetupError as SetAttributeInModuleSetupError
from ramie.errors.plan import CompilerFailedError as CompilerFailedError
from ramie.errors.plan import PlanArgumentError as PlanArgumentError
from ramie.errors.plan import PlanMeshError as PlanMeshError
from ramie.errors.plan import UnknownTopologyError as UnknownTopologyError
from ramie.errors.processes import ProcessFailedError as ProcessFailedError
from ramie.errors.processes import ProcessTargetError as ProcessTargetError
from ramie.errors.processes import ProcessTimeoutError as ProcessTimeoutError
from ramie.errors.scope import (
    ApplyScopeInvalidVariablesStructureError as ApplyScopeInvalidVariablesStructureError,
)
from ramie.errors.scope import (
    ApplyScopeInvalidVariablesTypeError as ApplyScopeInvalidVariablesTypeError,
)
from ramie.errors.scope import ImmutableVariableError as ImmutableVariableError
from ramie.errors.scope import InvalidFilterError as InvalidFilterError
from ramie.errors.scope import InvalidRngError as InvalidRngError
from ramie.errors.scope import InvalidScopeError as InvalidScopeError
from ramie.errors.scope import LazyInitError as LazyInitError
from ramie.errors.scope import ModifyScopeVariableError as ModifyScopeVariableError
from ramie.errors.scope import NameInUseError as NameInUseError
from ramie.errors.scope import PartitioningUnspecifiedError as PartitioningUnspecifiedError
from ramie.errors.scope import ScopeCollectionNotFound as ScopeCollectionNotFound
from ramie.errors.scope import ScopeParamNotFoundError as ScopeParamNotFoundError
from ramie.errors.scope import ScopeParamShapeError as ScopeParamShapeError
from ramie.errors.scope import ScopeVariableNotFoundError as ScopeVariableNotFoundError
from ramie.errors.transform import JaxTransformError as JaxTransformError
from ramie.errors.transform import TraceContextError as TraceContextError
from ramie.errors.transform import (
    TransformedMethodReturnValueError as TransformedMethodReturnValueError,
)
from ramie.errors.transform import TransformTargetError as TransformTargetError
from ramie.errors.tree import CursorFindError as CursorFindError
from ramie.errors.tree import TraverseTreeError as TraverseTreeError

__all__ = [
    "AlreadyExistsError",
    "ApplyModuleInvalidMethodError",
    "ApplyScopeInvalidVariablesStructureError",
    "ApplyScopeInvalidVariablesTypeError",
    "AssignSubModuleError",
    "CallCompactUnboundModuleError",
    "CallSetupUnboundModuleError",
    "CallShareScopeOnUnboundModuleError",
    "CallUnbindOnUnboundModuleError",
    "CheckpointBusyError",
    "CheckpointMismatchError",
    "CheckpointNotFoundError",
    "CheckpointOptionError",
    "CompilerFailedError",
    "CursorFindError",
    "DamagedCheckpointError",
    "DescriptorAttributeError",
    "FlaxError",
    "FormatLimitError",
    "ImmutableVariableError",
    "IncorrectPostInitOverrideError",
    "InputShapeError",
    "InvalidCheckpointError",
    "InvalidFilterError",
    "InvalidInstanceModuleError",
    "InvalidRngError",
    "InvalidScopeError",
    "JaxTransformError",
    "LazyInitError",
    "MPACheckpointingRequiredError",
    "MPARestoreDataCorruptedError",
    "MPARestoreTargetRequiredError",
    "MPARestoreTypeNotMatchError",
    "MalformedDataError",
    "MetricNotFoundError",
    "MissingExtraError",
    "MissingInJaxError",
    "ModifyScopeVariableError",
    "MultipleMethodsCompactError",
    "NameInUseError",
    "PartitioningUnspecifiedError",
    "PlanArgumentError",
    "PlanMeshError",
    "ProcessFailedError",
    "ProcessTargetError",
    "ProcessTimeoutError",
    "RamieError",
    "ReservedModuleAttributeError",
    "ScopeCollectionNotFound",
    "ScopeParamNotFoundError",
    "ScopeParamShapeError",
    "ScopeVariableNotFoundError",
    "SetAttributeFrozenModuleError",
    "SetAttributeInModuleSetupError",
    "StateDictMismatchError",
    "TraceContextError",
    "TransformTargetError",
    "TransformedMethodReturnValueError",
    "TraverseTreeError",
    "UnknownTopologyError",
    "UnsupportedCheckpointError",
]
