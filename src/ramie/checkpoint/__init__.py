"""The checkpoint engine: saves that are wholly there or not there, and restores that check."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.checkpoint.exchange": "convert load_safetensors save_safetensors",
        "ramie.checkpoint.inspecting.comparison": "Compared compare",
        "ramie.checkpoint.inspecting.contents": "Outline outline",
        "ramie.checkpoint.inspecting.difference": "Changed Differences diff",
        "ramie.checkpoint.inspecting.health": "Health verify",
        "ramie.checkpoint.inspecting.numbers": "Statistics",
        "ramie.checkpoint.inspecting.survey": "Described Listed describe survey",
        "ramie.checkpoint.reader": "available_steps latest newest_intact restore",
        "ramie.checkpoint.inspecting.subtrees": "Collapsed collapse",
        "ramie.checkpoint.rewriting": "Renamed extract rename",
        "ramie.checkpoint.saving.pruning": "Pruned prune",
        "ramie.checkpoint.saving.removing": "remove",
        "ramie.checkpoint.saving.writer": "save",
        "ramie.checkpoint.summaries.best": (
            "BestCheckpointFileWriter HighestCheckpointFileReader HighestCheckpointFileWriter "
            "LowestCheckpointFileReader LowestCheckpointFileWriter"
        ),
        "ramie.checkpoint.summaries.files": (
            "CheckpointFile CheckpointFileReader CheckpointFileWriter"
        ),
        "ramie.checkpoint.summaries.summary": (
            "Checkpoint Metrics Summary SummaryLogger SummaryWriter"
        ),
    },
)
