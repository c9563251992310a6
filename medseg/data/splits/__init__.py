"""Which images are for training, for validation and for the test: every kind of split.

A split maps the id of a sample to `train`, `val` or `test`; ids that it leaves out are missing. It is read from a file
of a published dataset (`split_files`: official, random, stratified by type, blocks of neighbouring slices, five folds)
or drawn (`random_splits`: 80/10/10 or five folds, stratified where images have a type).
"""

SPLITS = ("train", "val", "test")

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Names of folders, in lower case -> the split of what is in them."""
