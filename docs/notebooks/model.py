# %% [markdown]
# # A model and its uncertainty

# %%
import vitreous as vt

vt.__version__
