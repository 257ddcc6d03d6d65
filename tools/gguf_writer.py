# Writes a GGUF version 3 file: typed metadata, then F32 and F16 tensors, aligned as ggml wants it.
import struct

ALIGNMENT = 32
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9  # metadata value types
SCALARS = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}
TENSOR_F32, TENSOR_F16 = 0, 1


def pack_string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def pack_value(kind, value):
    return pack_string(value) if kind == STRING else struct.pack(SCALARS[kind], value)


def pack_entry(key, kind, value):
    """One key-value pair; kind is a value type, or (ARRAY, element type)."""
    if isinstance(kind, tuple):
        body = struct.pack("<iiQ", ARRAY, kind[1], len(value)) + b"".join(pack_value(kind[1], v) for v in value)
    else:
        body = struct.pack("<i", kind) + pack_value(kind, value)
    return pack_string(key) + body


def padding(size):
    return b"\0" * (-size % ALIGNMENT)


def tensor_data(name, array, widest):
    """(ggml type, bytes): matrices as F16 (numpy rounds to nearest even), vectors, biases and all if `widest` as F32."""
    import numpy

    if array.ndim == 1 or name.endswith(".bias") or widest:
        return TENSOR_F32, array.astype("<f4").tobytes()
    half = array.astype("<f2")
    if not numpy.isfinite(half).all():
        raise ValueError("a weight does not fit into F16")
    return TENSOR_F16, numpy.ascontiguousarray(half).tobytes()


def write_gguf(path, metadata, tensors, widest=False):
    """metadata: (key, kind, value) triples; tensors: (name, float32 array) pairs, in file order."""
    write_packed(path, metadata, [(name, array.shape, *tensor_data(name, array, widest)) for name, array in tensors])


def write_packed(path, metadata, tensors):
    """The same with tensors as (name, shape, ggml type, bytes). The shape is as in numpy: the slowest dimension first."""
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))
    header += b"".join(pack_entry(*entry) for entry in metadata)
    offset, blobs = 0, []
    for name, shape, kind, data in tensors:
        # GGUF counts dimensions from the fastest one.
        header += pack_string(name) + struct.pack(f"<I{len(shape)}QiQ", len(shape), *shape[::-1], kind, offset)
        data += padding(len(data))
        offset += len(data)
        blobs.append(data)
    with open(path, "wb") as file:
        file.write(header + padding(len(header)))
        file.writelines(blobs)
