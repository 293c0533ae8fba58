"""Model bias: what appears when pure noise is aligned to a reference, measured and from theory."""

from vitreous.averages.model_bias.measure import ModelBiasResult, model_bias
from vitreous.averages.model_bias.settings import ModelBias

__all__ = ["ModelBias", "ModelBiasResult", "model_bias"]
