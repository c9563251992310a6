"""What a network costs and what it sees. Torch only, like the networks: no files, no configuration objects."""

from medseg.measure.cost import Cost, Stage, measure_cost
from medseg.measure.receptive_field import LONGEST, receptive_field

__all__ = ["LONGEST", "Cost", "Stage", "measure_cost", "receptive_field"]
