"""Pretrained encoders: where their weights come from, and how they are fitted to an encoder.

Nothing in a file is executed, and nothing is downloaded unless a repository, or weights known by a name, are asked for
and not in the local cache.
"""

from medseg.pretrained.load import Loaded, load_encoder
from medseg.pretrained.sources import EncoderWeights, read_weights

__all__ = ["EncoderWeights", "Loaded", "load_encoder", "read_weights"]
