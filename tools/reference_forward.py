#!/usr/bin/env python3
# A second opinion on GGUF models of the llama, qwen2, qwen3 and qwen3moe architectures, in plain numpy and for reading,
# not for speed: file reader, SentencePiece tokenizer, forward pass, llama.cpp's perplexity, greedy text.
#
#   python3 tools/reference_forward.py MODEL perplexity TEXT_FILE --n-ctx 256 [--max-bytes N]
#   python3 tools/reference_forward.py MODEL generate "Once upon a time" [--tokens N]
#   python3 tools/reference_forward.py MODEL tokenize "Once upon a time"
#   python3 tools/reference_forward.py MODEL logits 1,403,29,7 --output FILE [--last N]
#   python3 tools/reference_forward.py MODEL grams 1,403,29,7 --output FILE [--n-ctx N]
#   python3 tools/reference_forward.py MODEL grams TEXT_FILE --output FILE [--n-ctx N] [--max-tokens N]
#
# It shares no code with the extension or the trainer, so that an agreement of figures means something.
import argparse
import heapq
import math
import struct

import numpy

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
SPACE = "\u2581"  # how SentencePiece writes a space
BYTE = 6  # token type


class Reader:
    """Reads one GGUF file: metadata (a dict) and tensors (float32 arrays by name)."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.position = 0
        magic, version, tensor_count, entry_count = self.unpack("<4sIQQ")
        if magic != b"GGUF" or version not in (2, 3):
            raise ValueError("not a GGUF file of version 2 or 3")
        self.metadata = {}
        for _ in range(entry_count):
            key = self.string()
            self.metadata[key] = self.value(self.unpack("<i")[0])
        infos = [self.tensor_info() for _ in range(tensor_count)]
        alignment = self.metadata.get("general.alignment", 32)
        start = -(-self.position // alignment) * alignment
        self.tensors = {name: self.tensor(name, shape, kind, start + offset) for name, shape, kind, offset in infos}

    def unpack(self, layout):
        values = struct.unpack_from(layout, self.data, self.position)
        self.position += struct.calcsize(layout)
        return values

    def string(self):
        size, = self.unpack("<Q")
        self.position += size
        return self.data[self.position - size:self.position].decode()

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            element, count = self.unpack("<iQ")
            return [self.value(element) for _ in range(count)]
        return self.unpack(SCALARS[kind])[0]

    def tensor_info(self):
        name = self.string()
        rank, = self.unpack("<I")
        dimensions = self.unpack(f"<{rank}Q")
        kind, offset = self.unpack("<iQ")
        return name, dimensions[::-1], kind, offset  # GGUF names the row length first, numpy last

    def tensor(self, name, shape, kind, offset):
        count = math.prod(shape)
        if kind == 0:
            flat = numpy.frombuffer(self.data, "<f4", count, offset)
        elif kind == 1:
            flat = numpy.frombuffer(self.data, "<f2", count, offset)
        elif kind == 30:  # BF16: the upper half of a float32
            flat = (numpy.frombuffer(self.data, "<u2", count, offset).astype("<u4") << 16).view("<f4")
        else:
            raise ValueError(f"{name}: only F32, F16 and BF16 are read here, not ggml type {kind}")
        return flat.astype(numpy.float32).reshape(shape)


class Tokenizer:
    """SentencePiece as llama.cpp runs it: the adjacent pair with the best score first, leftmost on ties."""

    def __init__(self, metadata):
        if metadata["tokenizer.ggml.model"] != "llama":
            raise ValueError("only the tokenizer model 'llama' is known here")
        self.tokens = metadata["tokenizer.ggml.tokens"]
        self.scores = metadata["tokenizer.ggml.scores"]
        self.types = metadata["tokenizer.ggml.token_type"]
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.begin = metadata.get("tokenizer.ggml.bos_token_id", 1)
        self.end = metadata.get("tokenizer.ggml.eos_token_id", 2)
        self.add_begin = metadata.get("tokenizer.ggml.add_bos_token", True)
        self.add_space = metadata.get("tokenizer.ggml.add_space_prefix", True)

    def merged(self, text):
        """The characters of the text, merged as far as the vocabulary goes."""
        pieces = list(text)
        after = [*range(1, len(pieces)), None]
        before = [None, *range(len(pieces) - 1)]
        queue = []

        def offer(left):
            right = after[left] if left is not None else None
            if right is not None:
                token = self.ids.get(pieces[left] + pieces[right])
                if token is not None:
                    heapq.heappush(queue, (-self.scores[token], left, right, pieces[left] + pieces[right]))

        for left in range(len(pieces)):
            offer(left)
        while queue:
            _, left, right, joined = heapq.heappop(queue)
            # An entry is stale when either side has meanwhile been merged otherwise.
            if pieces[left] is None or pieces[right] is None or pieces[left] + pieces[right] != joined:
                continue
            pieces[left], pieces[right] = joined, None
            after[left] = after[right]
            if after[left] is not None:
                before[after[left]] = left
            offer(before[left])
            offer(left)
        return [piece for piece in pieces if piece is not None]

    def encode(self, text):
        if self.add_space and text:
            text = " " + text
        out = [self.begin] if self.add_begin else []
        for piece in self.merged(text.replace(" ", SPACE)):
            if piece in self.ids:
                out.append(self.ids[piece])
            else:
                out += [self.ids[f"<0x{byte:02X}>"] for byte in piece.encode()]
        return out

    def decode(self, tokens):
        data = b"".join(bytes([int(self.tokens[t][3:5], 16)]) if self.types[t] == BYTE
                        else self.tokens[t].replace(SPACE, " ").encode() for t in tokens)
        text = data.decode(errors="replace")
        return text[1:] if self.add_space and text.startswith(" ") else text


def softmax(x):
    x = numpy.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


class Model:
    def __init__(self, reader):
        architecture = reader.metadata["general.architecture"]
        key = lambda name, default=None: reader.metadata.get(f"{architecture}.{name}", default)
        if architecture not in ("llama", "qwen2", "qwen3", "qwen3moe"):
            raise ValueError(f"the architecture '{architecture}' is not known here")
        self.weights = reader.tensors
        self.layers = key("block_count")
        self.context = key("context_length")
        self.heads = key("attention.head_count")
        self.kv_heads = key("attention.head_count_kv", self.heads)
        self.epsilon = key("attention.layer_norm_rms_epsilon")
        self.head = key("attention.key_length", key("embedding_length") // self.heads)
        self.experts_used = key("expert_used_count")
        self.halves = architecture != "llama"
        self.turned = key("rope.dimension_count", self.head)
        self.speeds, self.magnitude = self.rotation(key)
        self.grams = None  # if it is a dict, the Gram matrix of each input is added to it

    def rotation(self, key):
        """Radians a position for every pair, and what the turned pairs are multiplied with."""
        base, turned = key("rope.freq_base", 10000.0), self.turned
        pair = numpy.arange(turned // 2)
        speeds = base ** (-2 * pair / turned)
        if "rope_freqs.weight" in self.weights:
            speeds = speeds / self.weights["rope_freqs.weight"]
        kind, factor = key("rope.scaling.type", "linear"), key("rope.scaling.factor", 1.0)
        magnitude = key("rope.scaling.attn_factor", 1.0)
        if kind == "none":
            return speeds, magnitude
        if kind == "linear":
            return speeds / factor, magnitude
        # YaRN: pairs that turn more than 32 times over the original context keep their speed, those that turn less
        # than once are slowed down, and in between there is a ramp.
        original = key("rope.scaling.original_context_length", self.context)
        turns_once = lambda turns: turned * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))
        low = max(0, math.floor(turns_once(32)))
        high = min(turned - 1, math.ceil(turns_once(1)))
        slowed = numpy.clip((pair - low) / max(0.001, high - low), 0, 1)
        return speeds * (slowed / factor + 1 - slowed), magnitude * (1 + 0.1 * max(0, math.log(factor)))

    def norm(self, x, name):
        scale = 1 / numpy.sqrt((x * x).mean(-1, keepdims=True) + numpy.float32(self.epsilon))
        return x * scale * self.weights[name + ".weight"]

    def record(self, name, x, expert=0):
        if self.grams is not None:
            wide = x.astype(numpy.float64)
            self.grams[name, expert] = self.grams.get((name, expert), 0) + wide.T @ wide

    def linear(self, x, name):
        self.record(name, x)
        return x @ self.weights[name + ".weight"].T + self.weights.get(name + ".bias", numpy.float32(0))

    def rotate(self, x):
        """RoPE: each pair of numbers at position p turns by p times its speed. The pairs are (2i, 2i+1), or in the
        qwen architectures (i, i + half)."""
        angles = numpy.outer(numpy.arange(x.shape[0]), self.speeds)[:, None, :]
        half = self.turned // 2
        left, right = (x[..., :half], x[..., half:self.turned]) if self.halves else (x[..., 0::2], x[..., 1::2])
        pairs = (left + 1j * right) * numpy.exp(1j * angles) * self.magnitude
        out = x.copy()
        if self.halves:
            out[..., :half], out[..., half:self.turned] = pairs.real, pairs.imag
        else:
            out[..., 0::2], out[..., 1::2] = pairs.real, pairs.imag
        return out

    def attention(self, x, prefix):
        length = x.shape[0]
        q = self.linear(x, prefix + "attn_q").reshape(length, self.heads, self.head)
        k = self.linear(x, prefix + "attn_k").reshape(length, self.kv_heads, self.head)
        if prefix + "attn_q_norm.weight" in self.weights:
            q, k = self.norm(q, prefix + "attn_q_norm"), self.norm(k, prefix + "attn_k_norm")
        q, k = self.rotate(q), self.rotate(k)
        v = self.linear(x, prefix + "attn_v").reshape(length, self.kv_heads, self.head)
        future = numpy.triu(numpy.full((length, length), -numpy.inf, numpy.float32), 1)
        out = numpy.empty_like(q)
        for head in range(self.heads):
            shared = head * self.kv_heads // self.heads  # query heads in a row share one key head
            scores = q[:, head] @ k[:, shared].T / numpy.float32(math.sqrt(self.head)) + future
            out[:, head] = softmax(scores) @ v[:, shared]
        return self.linear(out.reshape(length, -1), prefix + "attn_output")

    def feed_forward(self, x, gate, up, down):
        gate = x @ gate.T
        inner = gate / (1 + numpy.exp(-gate)) * (x @ up.T)
        return inner, inner @ down.T

    def routed(self, x, prefix):
        """The experts that the router finds likeliest, token by token, weighted by their share of its probabilities."""
        probabilities = softmax(self.linear(x, prefix + "ffn_gate_inp"))
        matrices = [self.weights[f"{prefix}ffn_{name}_exps.weight"] for name in ("gate", "up", "down")]
        out = numpy.zeros_like(x)
        for token, row in enumerate(probabilities):
            chosen = numpy.argsort(-row, kind="stable")[:self.experts_used]
            for expert in chosen:
                share = row[expert] / row[chosen].sum()
                inner, result = self.feed_forward(x[token], *(matrix[expert] for matrix in matrices))
                out[token] += share * result
                self.record(prefix + "ffn_gate_exps", x[token][None], expert)
                self.record(prefix + "ffn_down_exps", inner[None], expert)
        return out

    def forward(self, tokens):
        """Logits, one row for every token."""
        x = self.weights["token_embd.weight"][tokens]
        for layer in range(self.layers):
            prefix = f"blk.{layer}."
            x = x + self.attention(self.norm(x, prefix + "attn_norm"), prefix)
            h = self.norm(x, prefix + "ffn_norm")
            if prefix + "ffn_gate_inp.weight" in self.weights:
                x = x + self.routed(h, prefix)
                continue
            gate = self.linear(h, prefix + "ffn_gate")
            gate = gate / (1 + numpy.exp(-gate))
            x = x + self.linear(gate * self.linear(h, prefix + "ffn_up"), prefix + "ffn_down")
        x = self.norm(x, "output_norm")
        return self.linear(x, "output" if "output.weight" in self.weights else "token_embd")


def perplexity(model, tokenizer, text, n_ctx):
    """(perplexity, its standard error, scored tokens), as llama-perplexity defines them."""
    tokens = tokenizer.encode(text)
    if len(tokens) < 2 * n_ctx:
        raise ValueError(f"{len(tokens)} tokens are too few for a context of {n_ctx}")
    losses = []
    for start in range(0, len(tokens) - n_ctx + 1, n_ctx):
        chunk = tokens[start:start + n_ctx]
        if tokenizer.add_begin:
            chunk[0] = tokenizer.begin
        # Only tokens with at least half a context before them count.
        scored = numpy.arange(n_ctx // 2, n_ctx - 1)
        logits = model.forward(chunk)[scored].astype(numpy.float64)
        top = logits.max(-1)
        right = logits[numpy.arange(len(scored)), numpy.array(chunk)[scored + 1]]
        losses.append(numpy.log(numpy.exp(logits - top[:, None]).sum(-1)) + top - right)
    losses = numpy.concatenate(losses)
    value = math.exp(losses.mean())
    return value, value * losses.std() / math.sqrt(len(losses) - 1), len(losses)


def grams(model, tokens, n_ctx):
    """The Gram matrix of each distinct input, in the order of the network, expert by expert; zeros for an expert that no
    token chose. The tokens are read in windows of n_ctx."""
    model.grams = {}
    for start in range(0, len(tokens), n_ctx):
        model.forward(tokens[start:start + n_ctx])
    names = ["attn_q", "attn_output", "ffn_gate_inp", "ffn_gate", "ffn_gate_exps", "ffn_down", "ffn_down_exps"]
    names = [f"blk.{layer}.{name}" for layer in range(model.layers) for name in names] + ["output", "token_embd"]
    for name in names:
        if (name + ".weight") in model.weights and any(name == recorded for recorded, _ in model.grams):
            shape = model.weights[name + ".weight"].shape
            for expert in range(shape[0] if len(shape) == 3 else 1):
                yield name, expert, model.grams.get((name, expert), numpy.zeros((shape[-1], shape[-1])))


def generate(model, tokenizer, prompt, count):
    """The prompt, continued with the likeliest token until </s>, the count or the context ends."""
    tokens = tokenizer.encode(prompt)
    for _ in range(min(count, model.context - len(tokens))):
        best = int(model.forward(tokens)[-1].argmax())
        if best == tokenizer.end:
            break
        tokens.append(best)
    return tokenizer.decode(tokens[1:] if tokenizer.add_begin else tokens)


def write_grams(model, tokens, options):
    with open(options.output, "wb") as file:
        for _, _, gram in grams(model, tokens, options.n_ctx):
            gram[numpy.triu_indices(len(gram))].astype("<f4").tofile(file)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("perplexity")
    command.add_argument("text")
    command.add_argument("--n-ctx", type=int, default=512)
    command.add_argument("--max-bytes", type=int, help="read only the beginning of the text")
    command = commands.add_parser("generate")
    command.add_argument("prompt")
    command.add_argument("--tokens", type=int, default=400)
    commands.add_parser("tokenize").add_argument("prompt")
    command = commands.add_parser("logits")
    command.add_argument("tokens", help="numbers separated by commas")
    command.add_argument("--output", required=True, help="file of float32, a row a token")
    command.add_argument("--last", type=int, default=0, help="only the last rows")
    command = commands.add_parser("grams")
    command.add_argument("tokens", help="numbers separated by commas, or a file of text")
    command.add_argument("--output", required=True, help="file of float32: the rows of each matrix from the diagonal on")
    command.add_argument("--n-ctx", type=int, default=512)
    command.add_argument("--max-tokens", type=int)
    options = parser.parse_args()
    reader = Reader(options.model)
    model = Model(reader)
    if options.command == "logits":
        tokens = [int(token) for token in options.tokens.split(",")]
        model.forward(tokens)[-options.last:].astype("<f4").tofile(options.output)
        return
    if options.command == "grams" and options.tokens.replace(",", "").isdigit():
        write_grams(model, [int(token) for token in options.tokens.split(",")], options)
        return
    tokenizer = Tokenizer(reader.metadata)
    if options.command == "grams":
        with open(options.tokens, encoding="utf-8") as file:
            tokens = tokenizer.encode(file.read())[:options.max_tokens]
        if tokenizer.add_begin:
            tokens[::options.n_ctx] = [tokenizer.begin] * len(tokens[::options.n_ctx])
        write_grams(model, tokens, options)
    elif options.command == "perplexity":
        with open(options.text, "rb") as file:
            text = file.read(options.max_bytes or -1).decode(errors="replace")
        value, error, count = perplexity(model, tokenizer, text, options.n_ctx)
        print(f"perplexity {value:.4f} +/- {error:.4f} ({count} tokens scored, n_ctx {options.n_ctx})")
    elif options.command == "generate":
        print(generate(model, tokenizer, options.prompt, options.tokens))
    else:
        print(*tokenizer.encode(options.prompt))


if __name__ == "__main__":
    main()
