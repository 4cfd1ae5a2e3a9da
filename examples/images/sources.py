"""Where images come from: a source has a length, and gives an image with its class by number."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from examples.images.settings import UsageError

HELD_OUT = 0.2  # of the images of a source that is not divided already
KINDS = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


@dataclasses.dataclass(frozen=True)
class Data:
    """Images to learn from, images to test with, and what they show.

    Attributes:
      train: gives ``{"image": uint8 [size, size, channels], "label": int}``.
      test: the same.
      names: of the classes.
    """

    train: Any
    test: Any
    names: list[str]


def load(text: str, size: int) -> Data:
    """Open a source by its name.

    Args:
      text: ``digits``, ``tfds:NAME``, or the path of a folder.
      size: rows and columns; 0 for 8 with the digits and 64 otherwise.
    """
    if text == "digits":
        return digits(size or 8)
    if text.startswith("tfds:"):
        return tensorflow_dataset(text.removeprefix("tfds:"), size or 64)
    return folder(Path(text), size or 64)


def divide(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the images to learn from and to test with, always the same ones."""
    order = np.random.default_rng(0).permutation(count)
    border = max(1, int(count * HELD_OUT))
    return order[border:], order[:border]


def resized(image: Any, size: int) -> np.ndarray:
    """Scale a Pillow image to fill a square, and cut off what is outside of it."""
    from PIL import ImageOps

    return np.asarray(ImageOps.fit(image, (size, size)))


class Digits:
    """Some of the handwritten digits of scikit-learn, 8x8 pixels, in memory."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, size: int) -> None:
        self.images, self.labels, self.size = images, labels, size

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return an image with one channel, and the digit."""
        image = self.images[index]
        if self.size != len(image):
            from PIL import Image

            image = resized(Image.fromarray(image), self.size)
        return {"image": image[..., None], "label": self.labels[index]}


def digits(size: int) -> Data:
    """Return the handwritten digits that scikit-learn ships."""
    try:
        from sklearn import datasets
    except ImportError as error:
        raise UsageError(
            "The digits come with scikit-learn, which is not installed. Install it with: "
            "pip install scikit-learn"
        ) from error
    found = datasets.load_digits()
    images, labels = (found.images * 15).astype(np.uint8), found.target.astype(np.int32)
    train, test = (Digits(images[part], labels[part], size) for part in divide(len(labels)))
    return Data(train, test, [str(digit) for digit in range(10)])


class Files:
    """Images in files, each read when it is asked for."""

    def __init__(self, found: list[tuple[Path, int]], size: int) -> None:
        self.found, self.size = found, size

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.found)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return an image in colours, and the number of its folder."""
        from PIL import Image

        path, label = self.found[index]
        try:
            with Image.open(path) as image:
                return {"image": resized(image.convert("RGB"), self.size), "label": np.int32(label)}
        except (OSError, SyntaxError) as error:
            raise UsageError(f"{path} cannot be read as an image: {error}") from error


def folder(root: Path, size: int) -> Data:
    """Return the images of a folder that has a subfolder for each class.

    Args:
      root: the folder; it may be divided into ``train`` and ``test``, each with all classes.
      size: rows and columns.
    """
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "Image files are read by Pillow, which is not installed. Install it with: "
            "pip install pillow"
        ) from error
    if not root.is_dir():
        raise UsageError(
            f"--data {root}: there is no such folder. It can be digits, tfds:NAME, or a folder "
            "with one subfolder of images for each class."
        )
    divided = (root / "train").is_dir() and (root / "test").is_dir()
    top = root / "train" if divided else root
    names = sorted(path.name for path in top.iterdir() if path.is_dir())
    found = listed(top, names)
    if len({label for _, label in found}) < 2:
        raise UsageError(f"--data {root}: images were found in less than two subfolders of {top}.")
    if divided:
        train, test = found, listed(root / "test", names)
        if not test:
            raise UsageError(f"--data {root}: {root / 'test'} has no images of these classes.")
    else:
        train, test = ([found[i] for i in part] for part in divide(len(found)))
    return Data(Files(train, size), Files(test, size), names)


def listed(top: Path, names: list[str]) -> list[tuple[Path, int]]:
    """List the image files of each class, sorted."""
    return [
        (path, label)
        for label, name in enumerate(names)
        for path in sorted((top / name).rglob("*"))
        if path.suffix.lower() in KINDS
    ]


class Examples:
    """Images of a data set of TFDS, which gives any of them by number."""

    def __init__(self, source: Any, size: int) -> None:
        self.source, self.size = source, size

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return an image with its own channels, and its class."""
        from PIL import Image

        example = self.source[int(index)]
        image = example["image"]
        grey = image.shape[-1] == 1
        image = resized(Image.fromarray(image[..., 0] if grey else image), self.size)
        return {"image": image[..., None] if grey else image, "label": np.int32(example["label"])}


def tensorflow_dataset(name: str, size: int) -> Data:
    """Return a data set by its name in TFDS, which downloads it if it is not there."""
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UsageError(
            f"--data tfds:{name} is read by TensorFlow Datasets, which is not installed. Install "
            "it with: pip install tensorflow-datasets array_record"
        ) from error
    try:
        builder = tfds.builder(name, file_format="array_record")
        builder.download_and_prepare()
    except Exception as error:  # of many kinds: no such name, no network, no room on the disk
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UsageError(f"--data tfds:{name} cannot be had: {reason}") from error
    features, splits = builder.info.features, builder.info.splits
    if not {"image", "label"} <= set(features):
        raise UsageError(f"--data tfds:{name} has no image and label, but {', '.join(features)}.")
    test = next((split for split in ("test", "validation") if split in splits), None)
    parts = ("train", test) if test else ("train[20%:]", "train[:20%]")
    train, test = (Examples(builder.as_data_source(split=part), size) for part in parts)
    return Data(train, test, list(features["label"].names))
