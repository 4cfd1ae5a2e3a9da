# Made by `make stubs` from the table in __init__.py.
from ramie.nnx.transforms.autodiff.custom_rules import CustomVjp as CustomVjp
from ramie.nnx.transforms.autodiff.custom_rules import custom_vjp as custom_vjp
from ramie.nnx.transforms.autodiff.differentiable import ArgNums as ArgNums
from ramie.nnx.transforms.autodiff.differentiable import DiffState as DiffState
from ramie.nnx.transforms.autodiff.gradients import grad as grad
from ramie.nnx.transforms.autodiff.gradients import jvp as jvp
from ramie.nnx.transforms.autodiff.gradients import value_and_grad as value_and_grad
from ramie.nnx.transforms.autodiff.gradients import vjp as vjp
from ramie.nnx.transforms.autodiff.rematerialization import remat as remat
