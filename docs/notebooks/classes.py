# %% [markdown]
# # Classes from an array

# %%
import vitreous as vt

vt.__version__
