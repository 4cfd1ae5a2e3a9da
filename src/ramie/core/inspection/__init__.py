"""What tables of models say: costs and text; of either style."""
