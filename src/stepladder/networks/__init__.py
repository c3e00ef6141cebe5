"""Networks: the layers of a list, or a torch module read."""
