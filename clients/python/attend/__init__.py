"""attend: the Python client of attend-server, multi-head attention as a service.

    import attend
    mha = attend.MultiHeadAttention("http://127.0.0.1:8080")
    output = mha(x)                                  # self-attention, x is [B, L, E] or [L, E]
    output, weights = mha(x, need_weights=True)      # weights [B, H, L, S]
    output, more = mha(x, return_=["lse", "stats"])  # more["lse"] [B, H, L]

Letters, here and everywhere: B batch, L query length, S key length, H heads, E embedding width.
"""

from .checkpoint import init_weights, save_layer, save_model, write_safetensors
from .client import Answer, AttendError, AttendWarning, Client
from .generator import random_tensor, splitmix64
from .layer import MultiHeadAttention
from .patterns import Patterns
from .shards import merge
from .wire import TopK

__version__ = "0.3.0"
__all__ = [
    "Answer",
    "AttendError",
    "AttendWarning",
    "Client",
    "MultiHeadAttention",
    "Patterns",
    "TopK",
    "init_weights",
    "merge",
    "random_tensor",
    "save_layer",
    "save_model",
    "splitmix64",
    "write_safetensors",
]
