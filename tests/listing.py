"""What is in a directory of checkpoints."""

import os

from ramie.checkpoint.storage.integrity import manifest_path


def names(folder):
    """Return the sorted names in a folder, temporary files too, but not the manifests of files."""
    found = set(os.listdir(folder))
    return sorted(found - {os.path.basename(manifest_path(name)) for name in found})
