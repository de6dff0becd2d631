"""Martlet serves many LoRA adapters from one copy of a base model. This package has its program and a thin client.

    import martlet

    with martlet.Server("model.gguf", adapters="adapters") as server:
        print(server.client.chat("pirate", "What is rain?").text)

`Server` starts the program and stops it well; `Client` speaks to any Martlet server. For more of the API use the `openai`
package with `server.base_url`. What the server refuses raises `MartletError`.
"""
from ._binary import binary
from ._client import Adapter, Answer, Client
from ._error import MartletError
from ._server import Server

__all__ = ["Adapter", "Answer", "Client", "MartletError", "Server", "binary"]
