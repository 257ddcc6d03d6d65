#!/usr/bin/env python3
# Makes a little model of random weights of each architecture that runs, for comparing what it computes with llama.cpp:
#
#   python3 tools/make_architecture_models.py test/unit/golden            the models of the unit tests
#   python3 tools/make_architecture_models.py DIR --text TEXT_FILE        the same with a tokenizer of its bytes, in F32
#   python3 tools/make_architecture_models.py DIR --f32                   those of the unit tests in F32
#
# Weights have the precision of F16, so that both files of a model are the same model. llama.cpp multiplies inputs rounded
# to F16 with a matrix in F16, but everything in F32 with one in F32. bench/architectures.sh has it compute the figures.
#
# Numbers that would be too close to 0 or 1 to tell (bounds of scores, factors, sinks) are made large here.
import argparse
import pathlib

import numpy

from gguf_writer import ARRAY, BOOL, F32, I32, STRING, U32, write_gguf

WIDTH, HEADS, KV_HEADS, FEED_FORWARD, VOCABULARY, CONTEXT = 16, 4, 2, 24, 32, 1024
EXPERTS, EXPERTS_USED, EXPERT_FEED_FORWARD = 6, 2, 12
TOKENS = 40  # of the sequence that the unit tests run

# Each model: its architecture, blocks, the size of a head, keys, and the names of the parts that it has.
YARN = [("rope.scaling.type", STRING, "yarn"), ("rope.scaling.factor", F32, 4.0)]
ROUTED = [("expert_count", U32, EXPERTS), ("expert_used_count", U32, EXPERTS_USED)]
MODELS = {
    "mixtral": ("llama", 2, 4, ROUTED, {"experts"}),
    "llama-longrope": ("llama", 2, 4, [("rope.scaling.type", STRING, "longrope"), ("rope.scaling.factor", F32, 2.0),
                                       ("rope.scaling.original_context_length", U32, 16),
                                       ("rope.scaling.attn_factor", F32, 1.25)], {"gated", "long"}),
    "mistral3": ("mistral3", 2, 4, YARN + [("rope.scaling.original_context_length", U32, 8),
                                           ("rope.scaling.yarn_beta_fast", F32, 16.0),
                                           ("rope.scaling.yarn_log_multiplier", F32, 0.5),
                                           ("attention.temperature_scale", F32, 0.5)], {"gated"}),
    "qwen2moe": ("qwen2moe", 2, 4, ROUTED + [("expert_feed_forward_length", U32, EXPERT_FEED_FORWARD),
                                             ("expert_shared_feed_forward_length", U32, 20)],
                 {"experts", "biases", "shared", "shared gate"}),
    "gemma2": ("gemma2", 2, 8, [("attention.sliding_window", U32, 6), ("attn_logit_softcapping", F32, 2.0),
                                ("final_logit_softcapping", F32, 3.0)], {"gated", "norms after", "tied"}),
    "gemma3": ("gemma3", 6, 8, [("attention.sliding_window", U32, 6), ("rope.freq_base_swa", F32, 30.0),
                                ("rope.scaling.type", STRING, "linear"), ("rope.scaling.factor", F32, 8.0)],
               {"gated", "norms after", "head norms", "tied"}),
    "phi3": ("phi3", 2, 4, [("rope.scaling.original_context_length", U32, 512),
                            ("rope.scaling.attn_factor", F32, 1.25)], {"joined", "long"}),
    "phi3-long": ("phi3", 2, 4, [("rope.scaling.original_context_length", U32, 16), ("rope.dimension_count", U32, 2),
                                 ("rope.scaling.attn_factor", F32, 1.25)], {"joined", "long"}),
    "gpt-oss": ("gpt-oss", 3, 4, ROUTED + YARN + [("rope.scaling.original_context_length", U32, 16),
                                                  ("expert_feed_forward_length", U32, EXPERT_FEED_FORWARD),
                                                  ("attention.sliding_window", U32, 6)],
                {"experts", "biases", "expert biases", "sinks"}),
    "granite": ("granite", 2, 4, [("embedding_scale", F32, 3.0), ("residual_scale", F32, 0.5), ("logit_scale", F32, 0.5),
                                  ("attention.scale", F32, 0.25)], {"gated", "tied"}),
    "granite4": ("granite", 2, 4, ROUTED + [("logit_scale", F32, 2.0), ("rope.scaling.finetuned", BOOL, False),
                                            ("expert_shared_feed_forward_length", U32, 20)], {"experts", "shared"}),
    "granitemoe": ("granitemoe", 2, 4, ROUTED + [("embedding_scale", F32, 3.0), ("residual_scale", F32, 0.5),
                                                 ("logit_scale", F32, 2.0)], {"experts"}),
    "olmo2": ("olmo2", 2, 4, [], {"gated", "no norms before", "norms after", "whole norms"}),
    "olmo3": ("olmo2", 4, 4, YARN + [("rope.scaling.original_context_length", U32, 16),
                                     ("attention.sliding_window", U32, 6)],
              {"gated", "no norms before", "norms after", "whole norms"}),
    "smollm3": ("smollm3", 4, 4, [], {"gated", "tied"}),
    "starcoder2": ("starcoder2", 2, 4, [], {"plain", "biases", "layer norms", "output bias", "tied"}),
    "gpt2": ("gpt2", 2, 4, [], {"plain", "biases", "layer norms", "output bias", "joined attention", "positions", "tied"}),
}


class Weights:
    def __init__(self, seed):
        self.random = numpy.random.RandomState(seed)

    def matrix(self, rows, columns, scale=1.5):
        return self.exact(self.random.normal(0, scale * columns ** -0.5, (rows, columns)))

    def vector(self, size, mean, deviation=0.3):
        return self.exact(self.random.normal(mean, deviation, size))

    def stack(self, rows, columns, scale=1.5):
        return numpy.stack([self.matrix(rows, columns, scale) for _ in range(EXPERTS)])

    @staticmethod
    def exact(values):
        return values.astype(numpy.float16).astype(numpy.float32)


def norm(weights, name, parts, size=WIDTH):
    yield name + ".weight", weights.vector(size, 1)
    if "layer norms" in parts:
        yield name + ".bias", weights.vector(size, 0)


def linear(weights, name, rows, columns, biased, scale=1.5):
    yield name + ".weight", weights.matrix(rows, columns, scale)
    if biased:
        yield name + ".bias", weights.vector(rows, 0)


def attention(weights, prefix, head, parts):
    queries, keys, biased = HEADS * head, KV_HEADS * head, "biases" in parts
    if "joined" in parts or "joined attention" in parts:
        keys = queries if "positions" in parts else keys
        yield from linear(weights, prefix + "attn_qkv", queries + 2 * keys, WIDTH, biased, 2.5)
    else:
        for name, rows in (("attn_q", queries), ("attn_k", keys), ("attn_v", keys)):
            yield from linear(weights, prefix + name, rows, WIDTH, biased, 2.5)
    output_biased = "output bias" in parts or "sinks" in parts
    yield from linear(weights, prefix + "attn_output", WIDTH, queries, output_biased)
    if "head norms" in parts or "whole norms" in parts:
        whole = "whole norms" in parts
        yield prefix + "attn_q_norm.weight", weights.vector(queries if whole else head, 1.5)
        yield prefix + "attn_k_norm.weight", weights.vector(keys if whole else head, 1.5)
    if "sinks" in parts:
        yield prefix + "attn_sinks.weight", weights.vector(HEADS, 1, 1)


def experts(weights, prefix, inner, parts):
    scale = 6 if "expert biases" in parts else 1.5  # so that gates are clamped
    for name, stack in (("ffn_gate_exps", weights.stack(inner, WIDTH, scale)),
                        ("ffn_up_exps", weights.stack(inner, WIDTH, scale)),
                        ("ffn_down_exps", weights.stack(WIDTH, inner))):
        yield f"{prefix}{name}.weight", stack
        if "expert biases" in parts:
            yield f"{prefix}{name}.bias", weights.exact(weights.random.normal(0, 0.3, stack.shape[:2]))
    yield from linear(weights, prefix + "ffn_gate_inp", EXPERTS, WIDTH, "expert biases" in parts, 3)
    if "shared gate" in parts:
        yield prefix + "ffn_gate_inp_shexp.weight", weights.vector(WIDTH, 0)
    if "shared" in parts:
        yield prefix + "ffn_gate_shexp.weight", weights.matrix(20, WIDTH)
        yield prefix + "ffn_up_shexp.weight", weights.matrix(20, WIDTH)
        yield prefix + "ffn_down_shexp.weight", weights.matrix(WIDTH, 20)


def feed_forward(weights, prefix, architecture, parts):
    if "experts" in parts:
        own = architecture in ("qwen2moe", "gpt-oss")
        yield from experts(weights, prefix, EXPERT_FEED_FORWARD if own else FEED_FORWARD, parts)
        return
    biased = "biases" in parts
    if "gated" in parts:
        yield from linear(weights, prefix + "ffn_gate", FEED_FORWARD, WIDTH, biased)
    yield from linear(weights, prefix + "ffn_up", FEED_FORWARD * (2 if "joined" in parts else 1), WIDTH, biased)
    yield from linear(weights, prefix + "ffn_down", WIDTH, FEED_FORWARD, biased)


def tensors(name, vocabulary, seed):
    architecture, blocks, head, _, parts = MODELS[name]
    weights = Weights(seed)
    yield "token_embd.weight", weights.matrix(vocabulary, WIDTH)
    if "positions" in parts:
        yield "position_embd.weight", weights.matrix(CONTEXT, WIDTH, 0.5)
    for block in range(blocks):
        prefix = f"blk.{block}."
        if "no norms before" not in parts:
            yield from norm(weights, prefix + "attn_norm", parts)
            second = "post_attention_norm" if architecture == "gpt-oss" else "ffn_norm"
            yield from norm(weights, prefix + second, parts)
        if "norms after" in parts:
            yield from norm(weights, prefix + "post_attention_norm", parts)
            yield from norm(weights, prefix + "post_ffw_norm", parts)
        yield from attention(weights, prefix, head, parts)
        yield from feed_forward(weights, prefix, architecture, parts)
    yield from norm(weights, "output_norm", parts)
    if "tied" not in parts:
        yield "output.weight", weights.matrix(vocabulary, WIDTH)
    if "long" in parts:
        turned = dict((key, value) for key, _, value in MODELS[name][3]).get("rope.dimension_count", head)
        yield "rope_factors_long.weight", weights.vector(turned // 2, 3)
        yield "rope_factors_short.weight", weights.vector(turned // 2, 1.2, 0.1)


def metadata(name, vocabulary):
    architecture, blocks, head, keys, parts = MODELS[name]
    numbers = {"block_count": blocks, "context_length": CONTEXT, "embedding_length": WIDTH,
               "feed_forward_length": FEED_FORWARD, "attention.head_count": HEADS,
               "attention.head_count_kv": HEADS if "positions" in parts else KV_HEADS,
               "attention.key_length": head, "attention.value_length": head, "vocab_size": vocabulary}
    yield "general.architecture", STRING, architecture
    for key, value in numbers.items():
        yield f"{architecture}.{key}", U32, value
    layer = "layer_norm_epsilon" if "layer norms" in parts else "layer_norm_rms_epsilon"
    yield f"{architecture}.attention.{layer}", F32, 1e-5
    yield f"{architecture}.rope.freq_base", F32, 100.0
    for key, kind, value in keys:
        yield f"{architecture}.{key}", kind, value


def tokenizer(text):
    """SentencePiece with the bytes and the characters of a text."""
    characters = sorted(set(text.replace(" ", "\u2581")))
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + characters
    types = [2, 3, 3] + [6] * 256 + [1] * len(characters)
    yield "tokenizer.ggml.model", STRING, "llama"
    yield "tokenizer.ggml.tokens", (ARRAY, STRING), tokens
    yield "tokenizer.ggml.scores", (ARRAY, F32), [0.0] * len(tokens)
    yield "tokenizer.ggml.token_type", (ARRAY, I32), types
    yield "tokenizer.ggml.bos_token_id", U32, 1
    yield "tokenizer.ggml.eos_token_id", U32, 2
    yield "tokenizer.ggml.unknown_token_id", U32, 0
    yield "tokenizer.ggml.add_space_prefix", BOOL, False


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("directory", type=pathlib.Path)
    arguments.add_argument("--text", type=pathlib.Path)
    arguments.add_argument("--f32", action="store_true")
    options = arguments.parse_args()
    words = list(tokenizer(options.text.read_text())) if options.text else [("tokenizer.ggml.model", STRING, "no_vocab")]
    vocabulary = len(words[1][2]) if options.text else VOCABULARY
    for seed, name in enumerate(MODELS):
        write_gguf(options.directory / f"random-{name}.gguf", list(metadata(name, vocabulary)) + words,
                   list(tensors(name, vocabulary, 100 + seed)), widest=bool(options.text or options.f32))


if __name__ == "__main__":
    main()
