"""llama.cpp's own HTTP server on a free port, over a model's file, until a signal ends it.

python llama_server.py MODEL CONTEXT_TOKENS
"""

import signal
import sys

import xllamacpp


def main(model: str, context_tokens: int) -> None:
    """Serve until the process is ended."""
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_ctx, params.n_parallel, params.kv_unified = context_tokens, 2, True
    params.cpuparams.n_threads = 1
    params.warmup = False
    params.use_jinja = True
    server = xllamacpp.Server(params)
    print("listening on", server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    main(sys.argv[1], int(sys.argv[2]))
