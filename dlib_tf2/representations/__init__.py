"""Codes beside the factors they belong to: the table, its file, what is derived from it. Numpy
only.
"""
