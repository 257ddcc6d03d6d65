#!/usr/bin/env python3
# Trains the example model, a small llama-architecture language model of made-up stories, and writes
# it as one GGUF file. Needs PyTorch and numpy (Debian: python3-torch, python3-numpy).
#
#   python3 tools/train_example.py --output examples/tiny-stories.gguf --checkpoint checkpoint.pt
#
# The text comes from generate_stories.py, so no training data is stored anywhere. Every matrix has
# rows of 256 or 512 weights, a multiple of the blocks of all GGUF quantization formats.
import argparse
import math
import os
import time

# Threads that wait must sleep: torch's own and those of its BLAS would else fight for the processors.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy
import torch
from torch.nn import functional

import gguf_writer
from generate_stories import stories
from spm_vocabulary import BEGIN_ID, END_ID, UNKNOWN_ID, Vocabulary, learn_pieces

WIDTH, LAYERS, HEADS, KV_HEADS, HIDDEN, CONTEXT, VOCABULARY = 256, 3, 8, 4, 512, 512, 768
HEAD = WIDTH // HEADS
EPSILON, ROPE_BASE = 1e-5, 10000.0
TRAINING_SEED, VALIDATION_SEED = 1, 3  # examples/heldout.txt has seed 2


class Norm(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + EPSILON) * self.weight


def rotate(x, cosine, sine):
    """RoPE on adjacent pairs (2i, 2i+1), as GGUF's llama architecture wants it."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cosine - b * sine, a * sine + b * cosine), -1).flatten(-2)


class Block(torch.nn.Module):
    """Attention and feed-forward; the attribute names are those of the GGUF tensors."""

    def __init__(self):
        super().__init__()
        linear = lambda inputs, outputs: torch.nn.Linear(inputs, outputs, bias=False)
        self.attn_norm, self.ffn_norm = Norm(), Norm()
        self.attn_q, self.attn_output = linear(WIDTH, WIDTH), linear(WIDTH, WIDTH)
        self.attn_k, self.attn_v = linear(WIDTH, KV_HEADS * HEAD), linear(WIDTH, KV_HEADS * HEAD)
        self.ffn_gate, self.ffn_up = linear(WIDTH, HIDDEN), linear(WIDTH, HIDDEN)
        self.ffn_down = linear(HIDDEN, WIDTH)

    def attend(self, x, cosine, sine, mask):
        batch, length, _ = x.shape
        heads = lambda y, n: y.view(batch, length, n, HEAD).transpose(1, 2)
        q = rotate(heads(self.attn_q(x), HEADS), cosine, sine)
        k = rotate(heads(self.attn_k(x), KV_HEADS), cosine, sine)
        k = k.repeat_interleave(HEADS // KV_HEADS, 1)
        v = heads(self.attn_v(x), KV_HEADS).repeat_interleave(HEADS // KV_HEADS, 1)
        weights = torch.softmax((q / math.sqrt(HEAD)) @ k.transpose(-1, -2) + mask, -1)
        return self.attn_output((weights @ v).transpose(1, 2).reshape(batch, length, WIDTH))

    def forward(self, x, cosine, sine, mask):
        x = x + self.attend(self.attn_norm(x), cosine, sine, mask)
        h = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Model(torch.nn.Module):
    """The output matrix is the token embedding (tied)."""

    def __init__(self):
        super().__init__()
        self.token_embd = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.blk = torch.nn.ModuleList(Block() for _ in range(LAYERS))
        self.output_norm = Norm()
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                # What is added to the residual stream starts smaller, the deeper the model.
                residual = "attn_output" in name or "ffn_down" in name
                torch.nn.init.normal_(weight, std=0.02 / math.sqrt(2 * LAYERS) if residual else 0.02)
        angles = torch.outer(torch.arange(CONTEXT).double(),
                             ROPE_BASE ** (-torch.arange(0, HEAD, 2).double() / HEAD))
        self.register_buffer("cosine", angles.cos().float(), persistent=False)
        self.register_buffer("sine", angles.sin().float(), persistent=False)

    def forward(self, tokens, targets):
        length = tokens.shape[1]
        mask = torch.full((length, length), -math.inf).triu(1)
        x = self.token_embd(tokens)
        for block in self.blk:
            x = block(x, self.cosine[:length], self.sine[:length], mask)
        logits = self.output_norm(x) @ self.token_embd.weight.T
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


class Text:
    """Encoded stories in two forms: one running text, and single stories between <s> and </s>."""

    def __init__(self, vocabulary, seed, size):
        running, single, starts, position = [], [], [], 0
        for story in stories(seed, size):
            running.append(numpy.array(vocabulary.encode(story), dtype=numpy.uint16))
            # The space before the text is what a reader of the tokenizer adds on its own.
            single.append(numpy.array([BEGIN_ID, *vocabulary.encode(" " + story.rstrip()), END_ID], dtype=numpy.uint16))
            starts.append(position)
            position += len(single[-1])
        self.running, self.single = numpy.concatenate(running), numpy.concatenate(single)
        self.starts = numpy.array(starts)

    def batch(self, rng, rows, length):
        """Half the rows begin anywhere in running text, where, as in llama.cpp's perplexity, <s>
        replaces the first token; half begin with a story, so the model can tell and end one."""
        windows = []
        starts = self.starts[:numpy.searchsorted(self.starts, len(self.single) - length - 1)]
        for row in range(rows):
            if row % 2:
                position = rng.integers(len(self.running) - length - 1)
                window = self.running[position:position + length + 1].astype(numpy.int64)
                window[0] = BEGIN_ID
            else:
                position = rng.choice(starts)
                window = self.single[position:position + length + 1].astype(numpy.int64)
            windows.append(window)
        windows = torch.from_numpy(numpy.stack(windows))
        return windows[:, :-1], windows[:, 1:]


TENSOR_ORDER = ["token_embd", "blk", "output_norm", "attn_norm", "attn_q", "attn_k", "attn_v", "attn_output",
                "ffn_norm", "ffn_gate", "ffn_up", "ffn_down", "weight"]


def metadata(vocabulary):
    """The key-value pairs of the GGUF file, in the types llama.cpp insists on."""
    g = gguf_writer
    return [
        ("general.architecture", g.STRING, "llama"),
        ("general.name", g.STRING, "Tiny Stories"),
        ("general.author", g.STRING, "The Hartonomous authors"),
        ("general.description", g.STRING, "Example model of Hartonomous, trained on generated stories"),
        ("general.file_type", g.U32, 1),
        ("general.quantization_version", g.U32, 2),
        ("llama.context_length", g.U32, CONTEXT),
        ("llama.embedding_length", g.U32, WIDTH),
        ("llama.block_count", g.U32, LAYERS),
        ("llama.feed_forward_length", g.U32, HIDDEN),
        ("llama.attention.head_count", g.U32, HEADS),
        ("llama.attention.head_count_kv", g.U32, KV_HEADS),
        ("llama.attention.layer_norm_rms_epsilon", g.F32, EPSILON),
        ("llama.rope.dimension_count", g.U32, HEAD),
        ("llama.rope.freq_base", g.F32, ROPE_BASE),
        ("llama.vocab_size", g.U32, VOCABULARY),
        ("tokenizer.ggml.model", g.STRING, "llama"),
        ("tokenizer.ggml.tokens", (g.ARRAY, g.STRING), vocabulary.tokens),
        ("tokenizer.ggml.scores", (g.ARRAY, g.F32), vocabulary.scores),
        ("tokenizer.ggml.token_type", (g.ARRAY, g.I32), vocabulary.types),
        ("tokenizer.ggml.bos_token_id", g.U32, BEGIN_ID),
        ("tokenizer.ggml.eos_token_id", g.U32, END_ID),
        ("tokenizer.ggml.unknown_token_id", g.U32, UNKNOWN_ID),
        ("tokenizer.ggml.add_bos_token", g.BOOL, True),
        ("tokenizer.ggml.add_eos_token", g.BOOL, False),
        ("tokenizer.ggml.add_space_prefix", g.BOOL, True),
    ]


def export(model, vocabulary, path):
    """Replaces the file in one step, so that a reader never sees half of it."""
    tensors = [(name, weight.detach().numpy()) for name, weight in model.named_parameters()]
    tensors.sort(key=lambda tensor: [TENSOR_ORDER.index(part) if part in TENSOR_ORDER else int(part)
                                     for part in tensor[0].split(".")])
    gguf_writer.write_gguf(path + ".part", metadata(vocabulary), tensors)
    os.replace(path + ".part", path)


def validate(model, text):
    rng = numpy.random.default_rng(0)
    with torch.no_grad():
        return sum(model(*text.batch(rng, 16, 256)).item() for _ in range(4)) / 4


def rate(step, steps, peak, warmup=200):
    """Linear warm-up, then a cosine down to a hundredth."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.505 + 0.495 * math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def make_optimizer(model):
    matrices = [p for p in model.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1},
                              {"params": vectors, "weight_decay": 0.0}], betas=(0.9, 0.95))


def train(options, vocabulary, text, check):
    model = Model()
    optimizer, step = make_optimizer(model), 0
    if os.path.exists(options.checkpoint):
        state = torch.load(options.checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
        print(f"continuing at step {step}", flush=True)
    started, mean = time.time(), None
    while step < options.steps:
        # The last quarter sees twice the length, so that all positions of the context are learned.
        rows, length = (16, CONTEXT // 2) if step < 0.75 * options.steps else (8, CONTEXT)
        # One generator per step: a continued run sees the same batches as an unbroken one.
        loss = model(*text.batch(numpy.random.default_rng([TRAINING_SEED, step]), rows, length))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate(step, options.steps, options.rate)
        optimizer.step()
        step += 1
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        if step % 50 == 0:
            print(f"step {step} loss {mean:.4f} {time.time() - started:.0f} s", flush=True)
        if step % 250 == 0 or step == options.steps:
            print(f"step {step} validation {validate(model, check):.4f}", flush=True)
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step},
                       options.checkpoint + ".part")
            os.replace(options.checkpoint + ".part", options.checkpoint)
            export(model, vocabulary, options.output)
    export(model, vocabulary, options.output)  # also when the checkpoint was complete


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", required=True, help="the GGUF file, rewritten every 250 steps")
    parser.add_argument("--checkpoint", required=True, help="state of the run; continued if it exists")
    parser.add_argument("--steps", type=int, default=1700)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--bytes", type=int, default=45_000_000, help="size of the training text")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(TRAINING_SEED)
    sample = "".join(stories(TRAINING_SEED, 2_000_000))
    vocabulary = Vocabulary(*learn_pieces(sample, VOCABULARY))
    text = Text(vocabulary, TRAINING_SEED, options.bytes)
    check = Text(vocabulary, VALIDATION_SEED, 300_000)
    print(f"{len(vocabulary.tokens)} tokens in the vocabulary, {len(text.running)} in the text", flush=True)
    train(options, vocabulary, text, check)


if __name__ == "__main__":
    main()
