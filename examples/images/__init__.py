"""Image classification with ResNets: on one device or many, in half precision, exactly measured."""
