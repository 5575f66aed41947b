"""What an opener and a builder, or datasets of one family, share: grids, addresses, sizes, recipes.
Numpy only.
"""
