"""The studies that ship with the package, one file each; the file's name is the study's."""
