"""Names of axes and meshes for variables of modules."""
