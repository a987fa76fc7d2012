"""attend: the Python client of attend-server, multi-head attention as a service.

    import attend
    mha = attend.MultiHeadAttention("http://127.0.0.1:8080")
    output = mha(x)                                  # self-attention, x is [B, L, E] or [L, E]
    output, weights = mha(x, need_weights=True)      # weights [B, H, L, S]

Letters, here and everywhere: B batch, L query length, S key length, H heads, E embedding width.
"""

from .checkpoint import init_weights, save_layer, save_model, write_safetensors
from .client import Answer, AttendError, AttendWarning, Client, MultiHeadAttention
from .generator import random_tensor, splitmix64

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "AttendError",
    "AttendWarning",
    "Client",
    "MultiHeadAttention",
    "init_weights",
    "random_tensor",
    "save_layer",
    "save_model",
    "splitmix64",
    "write_safetensors",
]
