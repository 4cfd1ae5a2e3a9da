"""Trees: dataclasses that are pytrees, nested dictionaries, ways to walk and edit them."""
