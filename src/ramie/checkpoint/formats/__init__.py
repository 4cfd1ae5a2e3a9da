"""The formats in which a checkpoint is stored; each module knows one."""
