"""A trained network as one file that runs without medseg: checkpoint -> network -> program -> file -> check."""
