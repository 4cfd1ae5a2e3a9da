"""What every room rests on: flags, files, names of versions, doors of packages."""
