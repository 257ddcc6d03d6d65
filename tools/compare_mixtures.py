#!/usr/bin/env python3
# Compares the formats that mixtures give tensors with those of llama-quantize, on models of many architectures whose
# weights are zeros (test/unit/golden/mixture_models.txt).
#
#   python3 tools/compare_mixtures.py types LLAMA_QUANTIZE >test/unit/golden/mixtures.txt
#     what llama-quantize --dry-run says, for the unit tests
#   python3 tools/compare_mixtures.py changes LLAMA_QUANTIZE
#     what is not as in mixtures.txt, if LLAMA_QUANTIZE is that of another version
#   python3 tools/compare_mixtures.py models DIR
#     only the files, as DIR/NAME.gguf
#   python3 tools/compare_mixtures.py plans LLAMA_QUANTIZE DIR [PSQL OPTION ...]
#     imports the files from DIR, which the server can read, and prints a table of models and mixtures: "=" where
#     quantize_plan() gives each tensor what llama-quantize gives it, else the number of differences
import collections
import math
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

from gguf_writer import ARRAY, BOOL, F32, I32, STRING, TENSOR_F16, TENSOR_F32, U32, write_packed

GOLDEN = pathlib.Path(__file__).parent.parent / "test/unit/golden"
# In the order of their sizes; those of llama-quantize --help that mix formats or have one.
MIXTURES = """Q1_0 Q2_0 TQ1_0 TQ2_0 IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ2_M Q2_K_S Q2_K IQ3_XXS IQ3_XS IQ3_S IQ3_M Q3_K_S
Q3_K_M Q3_K_L IQ4_XS IQ4_NL MXFP4_MOE Q4_0 Q4_1 Q4_K_S Q4_K_M Q5_0 Q5_1 Q5_K_S Q5_K_M Q6_K Q8_0""".split()
BASES = {"IQ2_S": "IQ2_XS", "IQ2_M": "IQ2_S", "IQ3_XS": "IQ3_S", "IQ3_M": "IQ3_S", "MXFP4_MOE": "MXFP4"}
BY_IMPORTANCE = ("Q4_0", "Q5_0", "IQ4_NL", "IQ4_XS", "IQ3_XXS")  # in which it chooses other formats

Model = collections.namedtuple("Model", "name architecture blocks experts heads kv_heads columns tensors")


def numbers_of(ranges, blocks):
    if not ranges:
        return range(blocks)
    ends = [[int(n) for n in part.split("-")] for part in ranges.split(",")]
    return [i for end in ends for i in range(end[0], end[-1] + 1)]


def tensors_of(words, blocks):
    """(name without .weight, number of matrices) of each tensor; 0 matrices for a vector."""
    for word in words:
        where, stem, stack, vector = re.fullmatch(r"(?:(blk(?:@[0-9,-]+)?)/)?([a-z0-9_.]+)((?:\*[0-9]+)?)(-?)", word).groups()
        matrices = 0 if vector else int(stack[1:] or 1)
        if where is None:
            yield stem, matrices
        else:
            for i in numbers_of(where[4:], blocks):
                yield f"blk.{i}.{stem}", matrices


def read_models():
    for line in (GOLDEN / "mixture_models.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        name, architecture, *rest = line.split()
        numbers = [int(n) for n in rest[:5]]
        yield Model(name, architecture, *numbers, list(tensors_of(rest[5:], numbers[0])))


def metadata(model):
    """What any of the architectures demands of a file; its values do not matter unless they are those of the model."""
    a = model.architecture + "."
    yield "general.architecture", STRING, model.architecture
    whole = {"context_length": 64, "embedding_length": model.columns, "block_count": model.blocks,
             "feed_forward_length": 64, "attention.head_count": model.heads or 4,
             "attention.head_count_kv": model.kv_heads or 4, "attention.sliding_window": 32, "attention.key_length": 64,
             "attention.value_length": 64, "rope.dimension_count": 64, "attention.q_lora_rank": 16,
             "attention.kv_lora_rank": 16, "expert_feed_forward_length": 32, "expert_shared_feed_forward_length": 32,
             "expert_shared_count": 1, "leading_dense_block_count": 1, "expert_gating_func": 1, "ssm.conv_kernel": 4,
             "ssm.inner_size": 64, "ssm.state_size": 16, "ssm.time_step_rank": 4, "ssm.group_count": 2}
    if model.experts:
        whole |= {"expert_count": model.experts, "expert_used_count": 2}
    yield from ((a + key, U32, value) for key, value in whole.items())
    for key in ("attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon", "expert_weights_scale",
                "logit_scale", "residual_scale", "embedding_scale", "attention.scale", "attn_logit_softcapping",
                "final_logit_softcapping"):
        yield a + key, F32, 1e-5
    yield a + "expert_weights_norm", BOOL, True
    yield a + "rope.dimension_sections", (ARRAY, I32), [8, 8, 8, 8]


def write_model(model, path):
    def packed(name, matrices):
        shape = {0: (model.columns,), 1: (2, model.columns)}.get(matrices, (matrices, 1, model.columns))
        kind, size = (TENSOR_F16, 2) if matrices else (TENSOR_F32, 4)
        return name + ".weight", shape, kind, bytes(size * math.prod(shape))

    write_packed(path, list(metadata(model)), [packed(*tensor) for tensor in model.tensors])


def write_importance(model, path):
    """A file as of llama-imatrix: with any importance, llama-quantize chooses other formats."""
    one, name = struct.pack("<f", 1), "blk.0.attn_output.weight"
    write_packed(path, [("general.type", STRING, "imatrix"), ("imatrix.datasets", (ARRAY, STRING), ["none"]),
                        ("imatrix.chunk_count", U32, 1), ("imatrix.chunk_size", U32, 1)],
                 [(name + ".in_sum2", (1, model.columns), TENSOR_F32, one * model.columns),
                  (name + ".counts", (1, 1), TENSOR_F32, one)])


def quantized_types(program, path, mixture, importance=None):
    """Each tensor's format by llama-quantize, or None if it refuses."""
    options = ["--imatrix", str(importance)] if importance else []
    run = subprocess.run([program, "--dry-run", *options, str(path), mixture], capture_output=True, text=True)
    if run.returncode != 0:
        return None
    # A message about a tensor's shape may come first in the line.
    found = re.findall(r"\] +(\S+) +- \[[^]]*\], type = +(\w+), size = .*?(?:\((\w+)\))?$", run.stdout + run.stderr, re.M)
    return {name: (given or present).upper() for name, present, given in found}


def ranges(numbers):
    parts = []
    for n in sorted(numbers):
        if parts and parts[-1][1] == n - 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def described(model, mixture, types):
    """tensor:format:blocks of all that were quantized, but not to the base format."""
    base = BASES.get(mixture, mixture.replace("_S", "").replace("_M", "").replace("_L", "") if "_K" in mixture else mixture)
    kinds = collections.defaultdict(list)
    for name, given in types.items():
        stem = name.removesuffix(".weight")
        block = re.match(r"blk\.([0-9]+)\.", stem)
        if given in (base, "F16", "F32") and (given == base or not fits_none(model)):
            continue
        kinds[stem[block.end():] if block else stem, given].append(int(block[1]) if block else -1)
    words = [":".join([stem, given] + ([ranges(blocks)] if blocks[0] >= 0 else []))
             for (stem, given), blocks in sorted(kinds.items())]
    return " ".join(words)


def fits_none(model):
    return model.columns % 32 != 0


def lines_of(program, directory):
    for model in read_models():
        path, importance = directory / (model.name + ".gguf"), directory / "imatrix.gguf"
        write_model(model, path)
        write_importance(model, importance)
        for mixture in MIXTURES:
            for kind in ("plain", "importance") if mixture in BY_IMPORTANCE else ("plain",):
                types = quantized_types(program, path, mixture, importance if kind == "importance" else None)
                text = "refused" if types is None else described(model, mixture, types)
                yield f"{model.name} {mixture} {kind} {text}".rstrip()


def planned_types(model, mixture, options):
    query = ("SELECT layer_name || ' ' || coalesce(details ->> 'target_format', details ->> 'present_format') "
             f"FROM hartonomous.quantize_plan('{model.name}', '{mixture}')")
    run = subprocess.run(["psql", "-XAtq", *options, "-c", query], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        return run.stderr.strip()
    return dict(line.split(" ") for line in run.stdout.splitlines())


def compare_plans(program, directory, options):
    print("model", *MIXTURES, sep="\t")
    for model in read_models():
        path = directory / (model.name + ".gguf")
        write_model(model, path)
        path.chmod(0o644)
        sql = f"SELECT hartonomous.import_gguf('{path}', '{model.name}')"
        subprocess.run(["psql", "-XAtq", *options, "-c", sql], check=True, capture_output=True)
        row = []
        for mixture in MIXTURES:
            types, plan = quantized_types(program, path, mixture), planned_types(model, mixture, options)
            if types is None or isinstance(plan, str):
                row.append("refused" if types is None else "not written" if "cannot be written" in plan else plan)
            else:
                different = [name for name in types if types[name] != plan.get(name)]
                row.append("=" if not different and len(types) == len(plan) else f"{len(different)}: {different[0]}")
        print(model.name, *row, sep="\t", flush=True)


def main(command, *arguments):
    if command == "models":
        for model in read_models():
            write_model(model, pathlib.Path(arguments[0]) / (model.name + ".gguf"))
        return
    if command == "plans":
        compare_plans(arguments[0], pathlib.Path(arguments[1]), arguments[2:])
        return
    with tempfile.TemporaryDirectory() as directory:
        lines = list(lines_of(arguments[0], pathlib.Path(directory)))
    if command == "types":
        print("# What llama-quantize of llama.cpp v0.5.0 gives the tensors of mixture_models.txt: model, file type, with or\n"
              "# without importance, then tensor:format:blocks for all that is not in the base format; \"refused\" where it\n"
              "# refuses the model. Made by tools/compare_mixtures.py.")
        print(*lines, sep="\n")
        return
    known = (GOLDEN / "mixtures.txt").read_text().splitlines()
    print(*(f"- {line}" for line in known if line not in lines and line[0] != "#"), sep="\n")
    print(*(f"+ {line}" for line in lines if line not in known), sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
