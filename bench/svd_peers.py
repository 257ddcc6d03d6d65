# What others make of the matrices of bench/svd.sh, which starts this program and keeps it: imports take seconds.
# Its first line of output has the names of those that can be imported here, separated by tabs. Then it answers lines
# of standard input, whose fields are separated by tabs:
#   NAME FILE ROWS COLUMNS RANK SEED FACTORS   seconds; FACTORS gets U, s and Vt, float32, row after row
# Standard error tells which are missing and which BLAS is in use.
import importlib
import sys
import time


def oversampled(numbers):
    def decompose(matrix, rank, seed):
        from sklearn.utils.extmath import randomized_svd

        return randomized_svd(matrix, rank, n_iter=4, n_oversamples=numbers, random_state=seed)

    return decompose


def arpack(matrix, rank, seed):
    from scipy.sparse.linalg import svds

    u, s, vt = svds(matrix, k=rank, random_state=seed)
    return u[:, ::-1], s[::-1], vt[::-1]


def lapack(matrix, rank, seed):
    # numpy's is gesdd: all singular values, of which the first are taken.
    import numpy

    u, s, vt = numpy.linalg.svd(matrix, full_matrices=False)
    return u[:, :rank], s[:rank], vt[:rank]


def torch_lowrank(matrix, rank, seed):
    import torch

    torch.manual_seed(seed)
    u, s, v = torch.svd_lowrank(torch.from_numpy(matrix), q=rank + 10, niter=4)
    return u[:, :rank].numpy(), s[:rank].numpy(), v[:, :rank].T.numpy()


# Name, what it needs to be imported, how it is called.
PEERS = [
    ("scikit-learn, n_iter=4", "sklearn.utils.extmath", oversampled(10)),
    ("scikit-learn, 64 oversamples", "sklearn.utils.extmath", oversampled(64)),
    ("SciPy svds (ARPACK)", "scipy.sparse.linalg", arpack),
    ("LAPACK gesdd", "numpy", lapack),
    ("torch.svd_lowrank, niter=4", "torch", torch_lowrank),
]


def importable(module):
    try:
        importlib.import_module(module)
        return True
    except ImportError as error:
        print(f"missing: {error}", file=sys.stderr)
        return False


def tell_blas():
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        print("BLAS not known: no threadpoolctl", file=sys.stderr)
        return
    for library in threadpool_info():
        if library["user_api"] == "blas":
            print("BLAS: {internal_api} {version} ({threading_layer}, {architecture}), threads: {num_threads}"
                  .format(**library), file=sys.stderr)


def read_matrix(path, rows, columns):
    import numpy

    return numpy.fromfile(path, dtype=numpy.float32).reshape(rows, columns)


def write_factors(path, factors):
    import numpy

    with open(path, "wb") as file:
        for factor in factors:
            numpy.ascontiguousarray(factor, dtype=numpy.float32).tofile(file)


def main():
    # All go through numpy: without it none is here.
    present = {name: call for name, module, call in PEERS if importable(module)} if importable("numpy") else {}
    tell_blas()
    sys.stderr.flush()
    print("\t".join(present), flush=True)
    matrix, matrix_path = None, None
    for line in sys.stdin:
        name, path, rows, columns, rank, seed, factors_path = line.rstrip("\n").split("\t")
        if path != matrix_path:
            matrix, matrix_path = read_matrix(path, int(rows), int(columns)), path
        start = time.perf_counter()
        factors = present[name](matrix, int(rank), int(seed))
        seconds = time.perf_counter() - start
        write_factors(factors_path, factors)
        print(f"{seconds:.6f}", flush=True)


if __name__ == "__main__":
    main()
