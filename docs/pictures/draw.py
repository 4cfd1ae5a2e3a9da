"""Draws the pictures of the guides: `python docs/pictures/draw.py` writes the SVG files beside it.

Each function below draws one picture and has its name. Curves are computed by the functions that
they show, and the map of the ring by the model of the guide.
"""

from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

import jax
import numpy as np

FOLDER = Path(__file__).parent
INK, PALE, PAPER = "#263238", "#90a4ae", "#ffffff"
BLUE, ORANGE, GREEN, VIOLET = "#1e6fb8", "#d9730d", "#2e8b57", "#7b4fa3"
LIGHT = {BLUE: "#e3effa", ORANGE: "#fdeedd", GREEN: "#e2f3e9", VIOLET: "#f0e8f7", PALE: "#eceff1"}


class Picture:
    """Shapes on white paper, so that it can be read on dark pages too."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.parts: list[str] = []

    def shape(self, tag: str, content: str = "", **attributes: object) -> None:
        """Add an element; underscores in names of attributes stand for hyphens."""
        values = {name.replace("_", "-"): value for name, value in attributes.items()}
        text = " ".join(f'{name}="{value}"' for name, value in values.items())
        self.parts.append(f"<{tag} {text}>{content}</{tag}>" if content else f"<{tag} {text}/>")

    def text(
        self, x: float, y: float, words: str, *, size: int = 14, colour: str = INK, **more: object
    ) -> None:
        """Write one line, centred unless `text_anchor` says otherwise."""
        more = {"text_anchor": "middle", **more}
        self.shape("text", escape(words), x=x, y=y, font_size=size, fill=colour, **more)

    def box(self, x: float, y: float, w: float, h: float, colour: str, *lines: str) -> None:
        """Draw a box with lines of text in its middle, the first one bold."""
        fill = LIGHT[colour]
        self.shape("rect", x=x, y=y, width=w, height=h, rx=6, fill=fill, stroke=colour)
        top = y + h / 2 + 5 - 9 * (len(lines) - 1)
        for row, line in enumerate(lines):
            weight = "bold" if not row else "normal"
            self.text(x + w / 2, top + 18 * row, line, size=13, font_weight=weight)

    def arrow(self, *points: tuple[float, float], colour: str = INK, dashed: bool = False) -> None:
        """Draw a line through points that ends in an arrow head."""
        path = " ".join(f"{x},{y}" for x, y in points)
        more = {"stroke_dasharray": "5 4"} if dashed else {}
        self.line(path, colour=colour, marker_end=f"url(#head-{colour[1:]})", **more)

    def line(self, path: str, *, colour: str = INK, width: float = 1.5, **more: object) -> None:
        """Draw a line through points given as text."""
        self.shape("polyline", points=path, fill="none", stroke=colour, stroke_width=width, **more)

    def svg(self) -> str:
        """Return the file's text."""
        heads = [
            f'<marker id="head-{colour[1:]}" markerWidth="8" markerHeight="8" refX="7" refY="4"'
            f' orient="auto" markerUnits="userSpaceOnUse"><path d="M0 0 8 4 0 8z" fill="{colour}"/>'
            "</marker>"
            for colour in (INK, ORANGE, GREEN)
        ]
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}"'
                f' height="{self.height}" viewBox="0 0 {self.width} {self.height}"'
                ' font-family="Helvetica, Arial, sans-serif">',
                f"<defs>{''.join(heads)}</defs>",
                f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
                *self.parts,
                "</svg>\n",
            ]
        )


def init_apply() -> Picture:
    """What goes into `init` and `apply`, and what comes out."""
    picture = Picture(720, 250)
    picture.box(20, 20, 130, 44, PALE, "module", "settings only")
    picture.box(20, 84, 130, 44, PALE, "key", "jax.random.key(0)")
    picture.box(20, 148, 130, 44, PALE, "example", "for its shape")
    picture.box(200, 84, 90, 44, BLUE, "init")
    for y in (42, 106, 170):
        picture.arrow((150, y), (175, y), (175, 106), (198, 106))
    picture.box(335, 62, 150, 88, ORANGE, "variables", "params:", "kernel [3, 2]", "bias [2]")
    picture.arrow((290, 106), (333, 106))
    picture.box(535, 84, 80, 44, BLUE, "apply")
    picture.arrow((485, 106), (533, 106))
    picture.box(345, 186, 130, 44, PALE, "input", "any batch")
    picture.arrow((475, 208), (575, 208), (575, 130))
    picture.arrow((150, 30), (575, 30), (575, 82))
    picture.text(676, 111, "output", font_weight="bold")
    picture.arrow((615, 106), (645, 106))
    return picture


def mutable_state() -> Picture:
    """Parameters and state through two training steps."""
    picture = Picture(720, 250)
    for step, x in enumerate((150, 440)):
        picture.box(x, 90, 130, 64, BLUE, "apply", "mutable=['seen']")
        picture.text(x + 65, 62, "output", font_weight="bold")
        picture.arrow((x + 65, 90), (x + 65, 68))
        picture.text(x + 65, 236, f"batch {step}")
        picture.arrow((x + 65, 220), (x + 65, 156))
    picture.box(20, 84, 84, 32, ORANGE, "params")
    picture.box(20, 132, 84, 32, GREEN, "seen")
    picture.arrow((104, 100), (148, 100), colour=ORANGE)
    picture.arrow((104, 148), (148, 148), colour=GREEN)
    picture.box(318, 132, 84, 32, GREEN, "seen")
    picture.arrow((280, 148), (316, 148), colour=GREEN)
    picture.arrow((402, 148), (438, 148), colour=GREEN)
    picture.box(318, 84, 84, 32, ORANGE, "params")
    picture.arrow((402, 100), (438, 100), colour=ORANGE)
    picture.box(610, 132, 84, 32, GREEN, "seen")
    picture.arrow((570, 148), (608, 148), colour=GREEN)
    picture.arrow((62, 84), (62, 26), (360, 26), (360, 82), colour=ORANGE, dashed=True)
    picture.text(130, 18, "optimizer, by gradients", size=12, colour=ORANGE)
    picture.text(298, 186, "by calling", size=12, colour=GREEN)
    return picture


def padded_batch() -> Picture:
    """Twenty examples in three batches of eight."""
    picture = Picture(720, 190)
    for batch in range(3):
        left = 40 + 224 * batch
        picture.text(left + 92, 32, f"batch {batch}", font_weight="bold")
        for place in range(8):
            number = 8 * batch + place
            x, real = left + 23 * place, number < 20
            colour = BLUE if real else PALE
            more = {} if real else {"stroke_dasharray": "3 2"}
            picture.shape(
                "rect", x=x, y=48, width=21, height=44, fill=LIGHT[colour], stroke=colour, **more
            )
            picture.text(x + 10.5, 75, str(number if real else 0), size=12, colour=colour)
            picture.text(x + 10.5, 126, "1" if real else "0", size=13, colour=GREEN)
    picture.text(24, 126, "mask", size=12, colour=GREEN)
    for batch, count in enumerate((8, 8, 4)):
        picture.text(132 + 224 * batch, 160, f"count {count}", size=13)
    return picture


def batch_norm_modes() -> Picture:
    """Where mean and variance come from in the two modes."""
    picture = Picture(720, 230)
    for left, title in ((20, "training"), (380, "evaluation")):
        picture.text(left + 160, 28, title, size=15, font_weight="bold")
        picture.box(left, 150, 80, 44, PALE, "batch", "[64, 8]")
        picture.box(left + 125, 150, 90, 44, BLUE, "normalise", "scale, bias")
        picture.arrow((left + 80, 172), (left + 123, 172))
        picture.arrow((left + 215, 172), (left + 260, 172))
        picture.text(left + 292, 177, "output", font_weight="bold")
    picture.box(20, 56, 106, 44, ORANGE, "mean, var", "of this batch")
    picture.arrow((60, 150), (60, 102), colour=ORANGE)
    picture.arrow((110, 100), (160, 148), colour=ORANGE)
    picture.box(202, 56, 140, 44, GREEN, "running averages", "batch_stats")
    picture.arrow((126, 78), (200, 78), colour=GREEN)
    picture.text(162, 70, "moves", size=12, colour=GREEN)
    picture.box(480, 56, 140, 44, GREEN, "running averages", "batch_stats")
    picture.arrow((550, 100), (550, 148), colour=GREEN)
    picture.line("360,20 360,210", colour=PALE, width=1)
    return picture


def dropout() -> Picture:
    """Which of sixteen values survive in two steps, and in evaluation."""
    picture = Picture(720, 200)
    rng = np.random.default_rng(3)
    titles = ("step 0", "step 1", "evaluation")
    notes = ("fold_in(key, 0)", "fold_in(key, 1)", "no key")
    for column, (title, note) in enumerate(zip(titles, notes, strict=True)):
        left = 40 + 230 * column
        kept = rng.random(16) > 0.25 if column < 2 else np.ones(16, bool)
        picture.text(left + 86, 32, title, font_weight="bold")
        for place in range(16):
            x, y = left + 44 * (place % 4), 46 + 26 * (place // 4)
            colour = BLUE if kept[place] else PALE
            value = ("1.33" if column < 2 else "1") if kept[place] else "0"
            picture.shape(
                "rect", x=x, y=y, width=41, height=23, rx=3, fill=LIGHT[colour], stroke=colour
            )
            picture.text(x + 20.5, y + 16, value, size=12, colour=colour)
        picture.text(left + 86, 178, note, size=13)
    return picture


def bars() -> Picture:
    """Four images of the guide to images: bars in noise."""
    picture = Picture(720, 200)
    rng = np.random.default_rng(5)
    for column, (standing, noise) in enumerate(((0, 0.1), (1, 0.1), (0, 0.4), (1, 0.4))):
        image = rng.normal(0, noise, (8, 8))
        bar = image[:, 5] if standing else image[2]
        bar[1:6] += 1.0
        left = 40 + 170 * column
        for (row, place), value in np.ndenumerate(image):
            grey = int(np.clip(120 + 110 * value, 0, 255))
            x, y = left + 17 * place, 20 + 17 * row
            picture.shape("rect", x=x, y=y, width=17, height=17, fill=f"rgb({grey},{grey},{grey})")
        picture.text(left + 68, 182, "standing" if standing else "lying")
    return picture


def _plot(picture: Picture, curves: Iterable[tuple[str, str, np.ndarray]], top: float) -> None:
    """Draw curves over the steps, with axes and a legend."""
    left, right, low, high = 60, 520, 250, 30
    picture.line(f"{left},{high} {left},{low} {right},{low}", colour=PALE)
    for fraction in (0.0, 0.5, 1.0):
        y = low - fraction * (low - high - 10)
        picture.text(left - 8, y + 4, f"{fraction * top:g}", size=12, text_anchor="end")
    for row, (name, colour, values) in enumerate(curves):
        xs = np.linspace(left, right, len(values))
        ys = low - values / top * (low - high - 10)
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        picture.line(path, colour=colour, width=2.5)
        picture.line(f"540,{60 + 30 * row} 565,{60 + 30 * row}", colour=colour, width=2.5)
        picture.text(572, 64 + 30 * row, name, size=13, text_anchor="start")
    for step in (0, 40, 80, 120, 160, 200):
        picture.text(left + step / 200 * (right - left), low + 18, str(step), size=12)
    picture.text((left + right) / 2, low + 36, "step", size=13)


def learning_rates() -> Picture:
    """The schedules of the guide, over their 200 steps."""
    import optax

    from ramie.training import lr_schedule

    curves = {
        "constant": lr_schedule.create_constant_learning_rate_schedule(0.1, 20, 2),
        "stairs": lr_schedule.create_stepped_learning_rate_schedule(0.1, 20, [(4, 0.5), (8, 0.1)]),
        "cosine": lr_schedule.create_cosine_learning_rate_schedule(0.1, 20, 10, 2),
        "warm-up, then cosine": optax.warmup_cosine_decay_schedule(0.0, 0.1, 40, 200),
    }
    picture = Picture(720, 300)
    colours = (PALE, GREEN, BLUE, ORANGE)
    steps = np.arange(0, 201, 2)
    values = [np.asarray(jax.vmap(curve)(steps)) for curve in curves.values()]
    _plot(picture, list(zip(curves, colours, values, strict=True)), top=0.1)
    return picture


def recurrent() -> Picture:
    """A cell applied to five steps."""
    picture = Picture(720, 200)
    for step in range(5):
        x = 95 + 115 * step
        picture.box(x, 80, 72, 40, BLUE, "cell")
        picture.arrow((x + 36, 162), (x + 36, 122))
        picture.text(x + 36, 180, f"input {step}", size=13)
        picture.arrow((x + 36, 80), (x + 36, 44))
        picture.text(x + 36, 34, f"output {step}", size=13)
        picture.arrow((x - 43, 100), (x - 2, 100), colour=ORANGE)
    picture.arrow((627, 100), (668, 100), colour=ORANGE)
    picture.text(26, 97, "first", size=12, colour=ORANGE)
    picture.text(26, 112, "carry", size=12, colour=ORANGE)
    picture.text(694, 97, "final", size=12, colour=ORANGE)
    picture.text(694, 112, "carry", size=12, colour=ORANGE)
    return picture


def ring() -> Picture:
    """What the classifier of the guide to the basics has learned."""
    import optax

    import ramie.linen as nn

    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (512, 2)).astype(np.float32)
    radius = np.linalg.norm(points, axis=-1)
    labels = ((radius > 0.4) & (radius < 0.8)).astype(np.int32)
    model = nn.Sequential([nn.Dense(32), nn.tanh, nn.Dense(32), nn.tanh, nn.Dense(2)])
    params = model.init(jax.random.key(0), points)
    optimizer = optax.adam(0.02)

    @jax.jit
    def step(params, moments):
        def loss_of(params):
            scores = model.apply(params, points)
            return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()

        updates, moments = optimizer.update(jax.grad(loss_of)(params), moments)
        return optax.apply_updates(params, updates), moments

    moments = optimizer.init(params)
    for _ in range(400):
        params, moments = step(params, moments)

    cells, size = 40, 320
    centres = (np.arange(cells) + 0.5) / cells * 2 - 1
    grid = np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2).astype(np.float32)
    inside = np.asarray(model.apply(params, grid).argmax(-1)).reshape(cells, cells)
    picture = Picture(size + 40, size + 40)
    edge = size / cells
    picture.shape("rect", x=20, y=20, width=size, height=size, fill=LIGHT[BLUE])
    for row in range(cells):
        changes = np.flatnonzero(np.diff(np.concatenate([[0], inside[row], [0]])))
        for start, stop in changes.reshape(-1, 2):
            picture.shape(
                "rect",
                x=f"{20 + edge * start:g}",
                y=f"{20 + edge * row:g}",
                width=f"{edge * (stop - start):g}",
                height=f"{edge:g}",
                fill="#fbd9b5",
            )
    for (x, y), label in zip(points[:200], labels[:200], strict=True):
        place = {"cx": f"{180 + 160 * x:.0f}", "cy": f"{180 + 160 * y:.0f}"}
        picture.shape("circle", **place, r=2.5, fill=ORANGE if label else BLUE)
    return picture


PICTURES = (
    init_apply,
    mutable_state,
    padded_batch,
    batch_norm_modes,
    dropout,
    bars,
    learning_rates,
    recurrent,
    ring,
)


if __name__ == "__main__":
    for draw in PICTURES:
        (FOLDER / f"{draw.__name__}.svg").write_text(draw().svg(), encoding="utf-8")
