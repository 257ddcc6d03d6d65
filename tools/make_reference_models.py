#!/usr/bin/env python3
# Makes the little models of random weights that the unit tests compare forward passes on, and the logits that
# reference_forward.py computes for them: one model for each architecture and way of scaling positions.
#
#   python3 tools/make_reference_models.py test/unit/golden
#
# The logits of the example model beside them come from
#   python3 tools/reference_forward.py examples/tiny-stories.gguf logits TOKENS --last 3 --output FILE
import pathlib
import sys

import numpy

from gguf_writer import F32, STRING, U32, write_gguf
from reference_forward import Model, Reader

WIDTH, HEADS, KV_HEADS, HEAD, FEED_FORWARD, BLOCKS, VOCABULARY = 16, 4, 2, 8, 24, 2, 32
EXPERTS, EXPERTS_USED, EXPERT_FEED_FORWARD = 6, 2, 12
TOKENS = [1, 17, 4, 30, 4, 9, 0, 31, 22, 5, 5, 13]


def matrix(random, rows, columns):
    return random.normal(0, columns ** -0.5, (rows, columns)).astype(numpy.float32)


def vector(random, size, mean):
    return random.normal(mean, 0.2, size).astype(numpy.float32)


def block(random, architecture, prefix):
    queries, keys = HEADS * HEAD, KV_HEADS * HEAD
    yield prefix + "attn_norm.weight", vector(random, WIDTH, 1)
    for name, rows in (("attn_q", queries), ("attn_k", keys), ("attn_v", keys)):
        yield f"{prefix}{name}.weight", 2 * matrix(random, rows, WIDTH)
        if architecture == "qwen2":
            yield f"{prefix}{name}.bias", vector(random, rows, 0)
    if architecture in ("qwen3", "qwen3moe"):
        yield prefix + "attn_q_norm.weight", vector(random, HEAD, 1)
        yield prefix + "attn_k_norm.weight", vector(random, HEAD, 1)
    yield prefix + "attn_output.weight", matrix(random, WIDTH, queries)
    yield prefix + "ffn_norm.weight", vector(random, WIDTH, 1)
    if architecture == "qwen3moe":
        stack = lambda rows, columns: numpy.stack([matrix(random, rows, columns) for _ in range(EXPERTS)])
        yield prefix + "ffn_gate_inp.weight", matrix(random, EXPERTS, WIDTH)
        yield prefix + "ffn_gate_exps.weight", stack(EXPERT_FEED_FORWARD, WIDTH)
        yield prefix + "ffn_up_exps.weight", stack(EXPERT_FEED_FORWARD, WIDTH)
        yield prefix + "ffn_down_exps.weight", stack(WIDTH, EXPERT_FEED_FORWARD)
        return
    yield prefix + "ffn_gate.weight", matrix(random, FEED_FORWARD, WIDTH)
    yield prefix + "ffn_up.weight", matrix(random, FEED_FORWARD, WIDTH)
    yield prefix + "ffn_down.weight", matrix(random, WIDTH, FEED_FORWARD)


def tensors(random, architecture):
    yield "token_embd.weight", matrix(random, VOCABULARY, WIDTH)
    for i in range(BLOCKS):
        yield from block(random, architecture, f"blk.{i}.")
    yield "output_norm.weight", vector(random, WIDTH, 1)
    if architecture != "qwen2":  # whose output matrix is tied here
        yield "output.weight", matrix(random, VOCABULARY, WIDTH)
    if architecture == "llama":
        yield "rope_freqs.weight", numpy.array([1, 1.5, 4, 8], numpy.float32)


def metadata(architecture, scaling):
    numbers = {"block_count": BLOCKS, "context_length": 64, "embedding_length": WIDTH,
               "feed_forward_length": FEED_FORWARD, "attention.head_count": HEADS,
               "attention.head_count_kv": KV_HEADS, "attention.key_length": HEAD, "attention.value_length": HEAD}
    if architecture == "qwen3moe":
        numbers.update({"expert_count": EXPERTS, "expert_used_count": EXPERTS_USED,
                        "expert_feed_forward_length": EXPERT_FEED_FORWARD})
    yield "general.architecture", STRING, architecture
    for name, value in numbers.items():
        yield f"{architecture}.{name}", U32, value
    yield f"{architecture}.attention.layer_norm_rms_epsilon", F32, 1e-5
    yield f"{architecture}.rope.freq_base", F32, 100.0
    for name, kind, value in scaling:
        yield f"{architecture}.rope.scaling.{name}", kind, value


def main():
    directory = pathlib.Path(sys.argv[1])
    scalings = {"llama": [], "qwen2": [("type", STRING, "linear"), ("factor", F32, 2.0)],
                "qwen3": [("type", STRING, "yarn"), ("factor", F32, 4.0), ("original_context_length", U32, 128)],
                "qwen3moe": []}
    for seed, (architecture, scaling) in enumerate(scalings.items()):
        random = numpy.random.RandomState(seed)
        path = directory / f"random-{architecture}.gguf"
        write_gguf(path, list(metadata(architecture, scaling)), list(tensors(random, architecture)))
        logits = Model(Reader(path)).forward(TOKENS)
        logits.astype("<f4").tofile(directory / f"random-{architecture}.logits.f32")


if __name__ == "__main__":
    main()
