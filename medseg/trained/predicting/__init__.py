"""Trained networks in use: images of any size and format in, masks of the same size out."""
