"""A trained network as one file that runs without medseg: checkpoint -> subject -> program -> file -> check."""
