# Made by `make stubs` from the table in __init__.py.
from ramie.plan.chips import CHIPS as CHIPS
from ramie.plan.chips import Chip as Chip
from ramie.plan.planning import plan as plan
from ramie.plan.report import Bound as Bound
from ramie.plan.report import Buffer as Buffer
from ramie.plan.report import Collection as Collection
from ramie.plan.report import Collective as Collective
from ramie.plan.report import Memory as Memory
from ramie.plan.report import Plan as Plan
from ramie.plan.report import Replicated as Replicated
from ramie.plan.report import Work as Work
from ramie.plan.topology import device_count as device_count
from ramie.plan.topology import make_mesh as make_mesh
from ramie.plan.topology import topologies as topologies
