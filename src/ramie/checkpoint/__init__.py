"""The checkpoint engine: saves that are wholly there or not there, and restores that check."""

from ramie.checkpoint.best import BestCheckpointFileWriter as BestCheckpointFileWriter
from ramie.checkpoint.best import HighestCheckpointFileReader as HighestCheckpointFileReader
from ramie.checkpoint.best import HighestCheckpointFileWriter as HighestCheckpointFileWriter
from ramie.checkpoint.best import LowestCheckpointFileReader as LowestCheckpointFileReader
from ramie.checkpoint.best import LowestCheckpointFileWriter as LowestCheckpointFileWriter
from ramie.checkpoint.contents import Outline as Outline
from ramie.checkpoint.contents import outline as outline
from ramie.checkpoint.difference import Changed as Changed
from ramie.checkpoint.difference import Differences as Differences
from ramie.checkpoint.difference import diff as diff
from ramie.checkpoint.exchange import convert as convert
from ramie.checkpoint.exchange import load_safetensors as load_safetensors
from ramie.checkpoint.exchange import save_safetensors as save_safetensors
from ramie.checkpoint.files import CheckpointFile as CheckpointFile
from ramie.checkpoint.files import CheckpointFileReader as CheckpointFileReader
from ramie.checkpoint.files import CheckpointFileWriter as CheckpointFileWriter
from ramie.checkpoint.health import Health as Health
from ramie.checkpoint.health import verify as verify
from ramie.checkpoint.inspection import Described as Described
from ramie.checkpoint.inspection import Listed as Listed
from ramie.checkpoint.inspection import Statistics as Statistics
from ramie.checkpoint.inspection import describe as describe
from ramie.checkpoint.inspection import survey as survey
from ramie.checkpoint.pruning import Pruned as Pruned
from ramie.checkpoint.pruning import prune as prune
from ramie.checkpoint.reader import available_steps as available_steps
from ramie.checkpoint.reader import latest as latest
from ramie.checkpoint.reader import newest_intact as newest_intact
from ramie.checkpoint.reader import restore as restore
from ramie.checkpoint.summary import Checkpoint as Checkpoint
from ramie.checkpoint.summary import Metrics as Metrics
from ramie.checkpoint.summary import Summary as Summary
from ramie.checkpoint.summary import SummaryLogger as SummaryLogger
from ramie.checkpoint.summary import SummaryWriter as SummaryWriter
from ramie.checkpoint.writer import save as save

__all__ = [
    "BestCheckpointFileWriter",
    "Changed",
    "Checkpoint",
    "CheckpointFile",
    "CheckpointFileReader",
    "CheckpointFileWriter",
    "Described",
    "Differences",
    "Health",
    "HighestCheckpointFileReader",
    "HighestCheckpointFileWriter",
    "Listed",
    "LowestCheckpointFileReader",
    "LowestCheckpointFileWriter",
    "Metrics",
    "Outline",
    "Pruned",
    "Statistics",
    "Summary",
    "SummaryLogger",
    "SummaryWriter",
    "available_steps",
    "convert",
    "describe",
    "diff",
    "latest",
    "load_safetensors",
    "newest_intact",
    "outline",
    "prune",
    "restore",
    "save",
    "save_safetensors",
    "survey",
    "verify",
]
