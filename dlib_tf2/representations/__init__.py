"""Tables of codes and factors, their files, and the codes derived from them. Numpy only."""
