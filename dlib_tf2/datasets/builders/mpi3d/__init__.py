"""The TFDS builder of mpi3d."""
