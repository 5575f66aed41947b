"""What datasets of one family share: grids, addresses, sizes, recipes. Numpy only."""
