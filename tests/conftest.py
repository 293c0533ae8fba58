"""For all tests."""

import torch

# Idle threads of PyTorch cost more than they bring on small tensors; jobs work this way, too.
torch.set_num_threads(1)
