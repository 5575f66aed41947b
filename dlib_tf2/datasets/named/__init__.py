"""One file per dataset.

`dataset(config, data_dir)` opens it. A file declares what it needs: `RECIPES` for what
`dlib_prepare_data` downloads, `DRAWING` for what this package draws on first use.
"""
