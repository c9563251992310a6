"""Run folders without their checkpoints in one file: `medseg pack`, `medseg unpack`, and reading it as a folder.

archive.py     the file: what may be in it, read with care, extracted
private.py     what names the machine is taken out of the files
packing.py     run folders -> file
unpacking.py   file -> run folders
"""
