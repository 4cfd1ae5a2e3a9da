"""Drawing random numbers: many shapes in one program, and what an initializer asks for."""
