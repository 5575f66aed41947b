"""One file per dataset: `dataset(config, data_dir)` opens it, and prepares it first where it can do
so by itself.
"""
