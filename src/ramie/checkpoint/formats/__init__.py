"""The formats in which a checkpoint is stored; each file knows one."""
