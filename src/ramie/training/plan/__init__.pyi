# Made by `make stubs` from the table in __init__.py.
from ramie.training.plan.chips import CHIPS as CHIPS
from ramie.training.plan.chips import Chip as Chip
from ramie.training.plan.planning import plan as plan
from ramie.training.plan.report import Bound as Bound
from ramie.training.plan.report import Buffer as Buffer
from ramie.training.plan.report import Collection as Collection
from ramie.training.plan.report import Collective as Collective
from ramie.training.plan.report import Memory as Memory
from ramie.training.plan.report import Plan as Plan
from ramie.training.plan.report import Replicated as Replicated
from ramie.training.plan.report import Work as Work
from ramie.training.plan.topology import device_count as device_count
from ramie.training.plan.topology import make_mesh as make_mesh
from ramie.training.plan.topology import topologies as topologies
