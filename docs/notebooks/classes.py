# %% [markdown]
# # Classes from an array
#
# You have images as an array, from wherever. This notebook sorts them into classes, looks at the averages, keeps the
# good particles, and writes what other programs read.

# %%
import tempfile
from pathlib import Path

import numpy as np

import vitreous as vt

# %% [markdown]
# ## An array
#
# Here the images are simulated. They could come from a file, a microscope or your own program: an array of
# `(images, rows, columns)`, particles white, with the size of a pixel in ångström.

# %%
example = vt.example("ribosome", n=800, snr=0.1)
images = example.read(np.arange(800))
images.shape, images.dtype

# %% [markdown]
# `vt.particles` makes a particle set of an array. With defocus values the CTF is corrected. Without them leave `ctf`
# out.

# %%
defocus_A = example.table["rlnDefocusU"].astype(float)
ctf = {"defocus_A": defocus_A, "voltage_kV": 300, "cs_mm": 2.7, "amplitude_contrast": 0.1}
particles = vt.particles(images, pixel_size_A=5.0, ctf=ctf)
particles

# %% [markdown]
# ## Classes
#
# Settings are keywords. What is not given follows from the data.

# %%
classes = vt.class2d(particles, classes=10, particle_diameter_A=280, threads=1, quiet=True)
classes

# %% [markdown]
# What came out is arrays.

# %%
print(classes.averages.shape)
print(classes.population)
print(classes.resolution_A.round(1))

# %% [markdown]
# ## Good particles
#
# Each particle has the number of its class, from 1. A class that did not show anything has no resolution (infinite).

# %%
sharp = classes.resolution_A < 30
good = np.flatnonzero((classes.class_number > 0) & sharp[classes.class_number - 1])
len(good)

# %% [markdown]
# ## Compare with the truth
#
# These particles are simulated, so we can ask how near particles of a class are in truth. The true views are in another
# set that was made with the same seed. Two views at random lie 90 degrees apart on average.

# %%
truth = vt.example("ribosome", n=800, snr=0.1, truth=True).table
rot, tilt = (np.deg2rad(truth[name].astype(float)) for name in ("rlnAngleRot", "rlnAngleTilt"))
views = np.stack([np.cos(rot) * np.sin(tilt), np.sin(rot) * np.sin(tilt), np.cos(tilt)], axis=1)
apart = np.degrees(np.arccos(np.clip(views @ views.T, -1, 1)))
same = (classes.class_number[:, None] == classes.class_number[None]) & (classes.class_number > 0)
print(f"in the same class: {np.median(apart[same]):.0f} degrees")
print(f"at random: {np.median(apart):.0f} degrees")
assert np.median(apart[same]) < 45

# %% [markdown]
# ## Files
#
# `save` writes the folder that the command `vitreous class2d` would have left: files for RELION, a record, a report.
# `vt.load` reads it back.

# %%
folder = Path(tempfile.mkdtemp()) / "classes"
classes.save(folder)
print(*sorted(path.name for path in folder.glob("run_*.*") if "_it0" not in path.name), sep="\n")

# %%
vt.load(folder)
