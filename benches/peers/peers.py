"""Python libraries as a server: one JSON request per line on standard input, one JSON reply per line on standard output.

Requests: {"do": "load", "points", "queries", "dim", "dtype"}, {"do": "build", "peer"}, {"do": "drop", "peer"} and
{"do": "knn", "peer", "set": "points" | "queries", "count", "k", "threads", "rows"}; the reply to the last holds the time
and the ids of the first "rows" rows. Time is measured here, around the library's call alone.
"""

import contextlib
import json
import sys
import time

import numpy as np

replies = sys.stdout
sys.stdout = sys.stderr  # what libraries print must not get between the replies


class Scipy:
    def __init__(self, points):
        from scipy.spatial import cKDTree

        self.tree = cKDTree(points)

    def knn(self, queries, k, threads):
        return self.tree.query(queries, k=k, workers=threads)[1]


class ScikitLearn:
    def __init__(self, points):
        from sklearn.neighbors import NearestNeighbors

        # Its own default: a tree up to 15 columns, brute force by matrix products above.
        self.index = NearestNeighbors(algorithm="auto").fit(points)

    def knn(self, queries, k, threads):
        self.index.set_params(n_jobs=threads)
        with limited(threads):
            return self.index.kneighbors(queries, n_neighbors=k, return_distance=True)[1]


class Pykdtree:
    def __init__(self, points):
        from pykdtree.kdtree import KDTree

        self.tree = KDTree(points)

    def knn(self, queries, k, threads):
        with limited(threads):
            return self.tree.query(queries, k=k)[1]


class Faiss:
    def __init__(self, points):
        import faiss

        if points.dtype != np.float32:
            raise TypeError("takes f32 only")
        self.faiss = faiss
        self.index = faiss.IndexFlatL2(points.shape[1])
        self.index.add(points)

    def knn(self, queries, k, threads):
        self.faiss.omp_set_num_threads(threads)
        return self.index.search(queries, k)[1]


class Mlpack:
    """Both points and queries are given as f64 copies, for mlpack permutes what it is given."""

    def __init__(self, points, tree):
        import mlpack

        self.search = mlpack.knn
        self.model = mlpack.knn(reference=points.astype(np.float64), tree_type=tree, copy_all_inputs=True)["output_model"]

    def prepare(self, queries):
        return queries.astype(np.float64)

    def knn(self, queries, k, threads):
        if threads > 1:
            raise ValueError("has one thread only")
        return self.search(input_model=self.model, query=queries, k=k, algorithm="dual_tree")["neighbors"]


PEERS = {
    "scipy cKDTree": ("scipy", Scipy),
    "scikit-learn": ("sklearn", ScikitLearn),
    "pykdtree": ("pykdtree", Pykdtree),
    "FAISS flat": ("faiss", Faiss),
    "mlpack cover tree": ("mlpack", lambda points: Mlpack(points, "cover")),
    "mlpack kd-tree": ("mlpack", lambda points: Mlpack(points, "kd")),
}


def limited(threads):
    """Limits the thread pools of the loaded libraries, where threadpoolctl knows them."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    return threadpool_limits(limits=threads)


def peak():
    """The largest resident memory since the last call, in bytes."""
    with open("/proc/self/status") as file:
        kibibytes = next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return kibibytes * 1024


def serve(request, data, built):
    if request["do"] == "load":
        built.clear()
        shape = (-1, request["dim"])
        for name in ("points", "queries"):
            data[name] = np.fromfile(request[name], dtype=request["dtype"]).reshape(shape)
        return {}
    peer = request["peer"]
    if request["do"] == "drop":
        built.pop(peer, None)
        return {}
    if request["do"] == "build":
        built.pop(peer, None)
        peak()
        before = peak()
        start = time.perf_counter()
        built[peer] = PEERS[peer][1](data["points"])
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "bytes": max(0, peak() - before)}
    queries = data[request["set"]][: request["count"]]
    prepare = getattr(built[peer], "prepare", None)
    queries = prepare(queries) if prepare else queries
    start = time.perf_counter()
    ids = built[peer].knn(queries, request["k"], request["threads"])
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "ids": np.asarray(ids)[: request["rows"]].astype(np.int64).ravel().tolist()}


def main():
    import importlib

    missing = []
    for peer, (module, _) in PEERS.items():
        try:
            importlib.import_module(module)
        except Exception:  # a broken installation counts as none
            missing.append(peer)
    print(json.dumps({"peers": [peer for peer in PEERS if peer not in missing], "missing": missing}), file=replies, flush=True)
    data, built = {}, {}
    for line in sys.stdin:
        try:
            reply = serve(json.loads(line), data, built)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


main()
