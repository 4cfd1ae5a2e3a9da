"""What can be chosen."""

import dataclasses


class UsageError(Exception):
    """Something that whoever started the program can mend; it is shown in one line."""


QUESTIONS = (
    "wait until another program has ended",
    "delete a folder and all that is in it",
    "which words occur most often?",
    "show in which lines two files differ",
    "is this year one with 366 days?",
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The choices of a run.

    Attributes:
      ask: what to look for; `QUESTIONS` by default.
      texts: a file with a text in each line, to search in place of Python's library.
      nearest: how many texts are shown for each question.
      batch: how many texts are embedded together.
    """

    ask: tuple[str, ...] = QUESTIONS
    texts: str = ""
    nearest: int = 3
    batch: int = 32

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for question in self.ask:
            if not question.strip():
                raise UsageError("--ask: a question is empty.")
            if question.encode("utf-8", "ignore").decode("utf-8") != question:
                raise UsageError(f"--ask: {question!r} is not text in UTF-8.")
        for name in ("nearest", "batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} is {getattr(self, name)}; it has to be 1 or more.")
