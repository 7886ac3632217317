"""What the data plane reads of the control plane: keys, instances and prices, as Redis holds them."""
