# %% [markdown]
# # A model and its uncertainty
#
# From particles to a three-dimensional model, and to what it does not know. The model is a mixture of Gaussians whose
# posterior distribution is sampled: so there is not one map but many, and where they differ the data do not decide.

# %%
import numpy as np

import vitreous as vt
from vitreous.quality import compare_maps

# %% [markdown]
# ## Averages
#
# Classes first, then averages without CTF and without negative values, as the model wants them.

# %%
particles = vt.example("ribosome", n=1500, snr=0.1)
classes = vt.class2d(particles, classes=20, particle_diameter_A=280, threads=1, quiet=True)
averages = vt.deconvolve(particles, classes=classes, threads=1, quiet=True)
averages.show(10)

# %% [markdown]
# ## The model
#
# Each restart begins at random. Restarts that agree are what makes a model credible.

# %%
model = vt.initial_model(averages, restarts=2, threads=1, quiet=True)
model

# %% [markdown]
# ## What it does not know
#
# The posterior mean is the map. The posterior variance is how much the samples differ from voxel to voxel.

# %%
mean, variance = model.mean.data, model.variance.data
relative = np.sqrt(variance.clip(min=0)) / mean.max()
inside = mean > 0.2 * mean.max()
print(f"standard deviation inside the particle: {relative[inside].mean():.1%} of the peak")
print(f"outside: {relative[~inside].mean():.1%}")

# %% [markdown]
# Two more things it does not know: the **hand**, since images cannot tell a map from its mirror image, and whatever is
# finer than its averages. It is a start for a refinement, not a result to measure distances in.

# %% [markdown]
# ## Beside the truth
#
# The particles are simulated, so the true density is known. Both hands are tried.

# %%
pixel_A = model.mean.pixel_size_A
truth = vt.Volume(data=vt.phantom(len(mean), pixel_A, "ribosome-like").numpy(), pixel_size_A=pixel_A)
found, _ = compare_maps(model.mean, truth)
print(f"correlation with the truth {found.correlation:.2f}, FSC 0.5 at {found.resolution_A:.0f} Å")
assert found.correlation > 0.8
