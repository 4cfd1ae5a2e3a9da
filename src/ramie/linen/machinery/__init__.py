"""What makes a class a module: its plan, its methods, its place in the tree, its state."""
