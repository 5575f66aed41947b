"""What every room stands on: paths, files, locks, progress, quiet start-up, and what commands
share.
"""
