"""How a run shows that it goes on: a bar in a terminal, a line now and then in a file or pipe."""

import contextlib
import time
from collections.abc import Callable, Iterator

from examples.llm.settings import Settings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PAUSE = 10.0  # seconds between lines

Show = Callable[[int, float, float], None]


@contextlib.contextmanager
def shown(settings: Settings, done: int, quiet: bool) -> Iterator[Show]:
    """Show the progress of a run while the context lasts.

    Args:
      settings: how many steps there are.
      done: steps that were done before.
      quiet: whether to show nothing.

    Yields:
      A function of the number of steps done, the loss, and the tokens a second.
    """
    if quiet:
        yield lambda number, loss, speed: None
    elif (console := Console()).is_terminal:
        with _bar(console) as bar:
            task = bar.add_task("", total=settings.steps, completed=done, loss=0.0, speed=0.0)
            yield lambda number, loss, speed: bar.update(
                task, completed=number, loss=loss, speed=speed
            )
    else:
        yield _lines(settings, time.monotonic)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("train"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TextColumn("{task.fields[speed]:,.0f} tokens/s"),
        TimeRemainingColumn(),
        TextColumn("[cyan]left"),
        console=console,
    )


def _lines(settings: Settings, now: Callable[[], float]) -> Show:
    """Return a function that prints the first step, the last one, and one every few seconds."""
    printed = -PAUSE

    def show(number: int, loss: float, speed: float) -> None:
        nonlocal printed
        if now() - printed < PAUSE and number < settings.steps:
            return
        printed = now()
        left = ""
        if speed > 0:
            tokens = (settings.steps - number) * settings.batch * settings.length
            minutes, seconds = divmod(round(tokens / speed), 60)
            left = f", {speed:,.0f} tokens/s, {minutes}:{seconds:02} left"
        print(f"step {number} of {settings.steps}: loss {loss:.3f}{left}", flush=True)

    return show
