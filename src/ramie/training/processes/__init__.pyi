# Made by `make stubs` from the table in __init__.py.
from ramie.training.processes.groups import Group as Group
from ramie.training.processes.groups import Process as Process
from ramie.training.processes.groups import run as run
from ramie.training.processes.groups import start as start
