"""Where bytes lie: durable files and folders, checksums, other machines."""
