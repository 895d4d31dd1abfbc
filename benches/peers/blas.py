"""Vecchia neighbours under the residual correlation by brute force on BLAS, beside `covertree vecchia` on the same file.

The brute force is what one writes in numpy: V in f32, correlations by a matrix product block by block, the covariance of the
block, a selection of the k largest. Blocks run on as many threads as the program gets, each with one thread of BLAS; V and p are
made in f64 and are not timed. Two forms are timed: every row against all points, and every row against the points up to the end
of its block, which is the least that a matrix product can do where only earlier points count. The program's rate is that of
its search and, in a column of its own, of all that it does after reading: V, p, landmarks and search.

The truth is a brute force in f64 on some of the rows, from numpy's own factor. Recall is the share of its neighbours that an
answer has too; who is as near as the last of them within rounding may stand for it.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
FLOOR = 2.0**-40  # the least p, in units of the variance


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", help="points, .npy; without it 32768 x 3 Gaussian ones are generated")
    parser.add_argument("--kernel", default="matern52", choices=["rbf", "matern12", "matern32", "matern52"])
    parser.add_argument("--lengthscale", type=float, default=1.0)
    parser.add_argument("--jitter", type=float, default=1e-6)
    parser.add_argument("--inducing", type=int, default=512, help="number of random inducing points")
    parser.add_argument("-k", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=4096, help="rows that BLAS is timed on, in blocks spread evenly over the file")
    parser.add_argument("--block", type=int, default=256, help="rows of a block")
    parser.add_argument("--truth", type=int, default=256, help="rows that recall is measured on, among those timed")
    parser.add_argument("--repeats", type=int, default=3, help="the median counts; all contenders take turns")
    parser.add_argument("--fused", action="store_true", help="time the program's own brute force (--strategy brute) as well")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--covertree", default=str(HERE.parent.parent / "target/release/covertree"), help="the program")
    return parser.parse_args()


options = arguments()
for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = "1"  # read when numpy is loaded

import numpy as np  # noqa: E402


def covariance(squares):
    """The covariance of squared distances in lengthscales, with variance 1. May overwrite them."""
    if options.kernel == "rbf":
        squares *= -0.5
        return np.exp(squares, out=squares)
    factor = {"matern12": 1.0, "matern32": 3.0, "matern52": 5.0}[options.kernel]
    squares *= factor
    a = np.sqrt(squares, out=squares)
    shape = np.exp(-a)
    if options.kernel == "matern32":
        shape *= a + 1.0
    elif options.kernel == "matern52":
        shape *= (a / 3.0 + 1.0) * a + 1.0
    return shape


def squares(one, other):
    """Squared distances of all pairs of rows by a matrix product; rounding may not make them negative."""
    out = one @ other.T
    out *= -2.0
    out += (one * one).sum(1)[:, None]
    out += (other * other).sum(1)[None]
    return np.maximum(out, 0.0, out=out)


def residuals(points, inducing):
    """V and p in f64."""
    chosen = points[inducing]
    apart = ((chosen[:, None] - chosen[None]) ** 2).sum(2)
    lower = np.linalg.cholesky(covariance(apart) + options.jitter * np.eye(len(chosen)))
    v = np.empty((len(points), len(chosen)))
    for first in range(0, len(points), 4096):
        rows = slice(first, first + 4096)
        v[rows] = np.linalg.solve(lower, covariance(squares(chosen, points[rows]))).T
    return v, np.maximum(1.0 - (v * v).sum(1), FLOOR)


class Blas:
    """The brute force in some precision."""

    def __init__(self, points, v, p, dtype):
        self.points, self.v = points.astype(dtype), v.astype(dtype)
        self.scales = (1.0 / np.sqrt(p)).astype(dtype)

    def correlations(self, first, last, columns):
        """Magnitudes of the correlations of rows with the first points; what does not come before a row is -1."""
        rho = covariance(squares(self.points[first:last], self.points[:columns]))
        rho -= self.v[first:last] @ self.v[:columns].T
        rho *= self.scales[first:last, None]
        rho *= self.scales[None, :columns]
        np.abs(rho, out=rho)
        for row in range(first, min(last, columns)):
            rho[row - first, row:] = -1.0
        return rho

    def neighbors(self, first, last, columns):
        """The k nearest earlier points of some rows; -1 where there are fewer."""
        # Selected among those that come before the last row alone: thousands of equal values slow `argpartition` down.
        rho = self.correlations(first, last, columns)[:, :last]
        k = min(options.k, last)
        ids = np.argpartition(rho, last - k, axis=1)[:, last - k :]
        found = np.take_along_axis(rho, ids, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        ids, found = np.take_along_axis(ids, order, axis=1), np.take_along_axis(found, order, axis=1)
        return np.where(found < 0.0, -1, ids)

    def run(self, blocks, everything):
        """Seconds for all blocks, and their neighbours."""
        last_column = (lambda last: len(self.points)) if everything else (lambda last: last)
        start = time.perf_counter()
        with ThreadPoolExecutor(options.threads) as pool:
            found = list(pool.map(lambda block: self.neighbors(*block, last_column(block[1])), blocks))
        return time.perf_counter() - start, found


def covertree(file, inducing, folder, *more):
    """Seconds that the program's search takes, its neighbours, and all that it said."""
    scale, threads = repr(options.lengthscale), str(options.threads)
    command = [options.covertree, "vecchia", file, "--kernel", options.kernel, "--lengthscale", scale, "--jitter", repr(options.jitter)]
    command += ["--inducing-ids", inducing, "-k", str(options.k), "--threads", threads, "--quiet", "--json", "-o", f"{folder}/nn", *more]
    record = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return record["query_s"], np.load(f"{folder}/nn.ids.npy"), record


def recall(truth, rows, ids_of):
    """The share of the k nearest of some rows that an answer has."""
    right = wanted = 0
    for row in rows:
        rho = truth.correlations(row, row + 1, row)[0]
        count = min(options.k, row)
        if count == 0:
            continue
        least = np.partition(rho, row - count)[row - count]
        ids = ids_of(row)
        ids = np.unique(ids[ids >= 0])
        right += min(count, int((rho[ids] >= least - 1e-6).sum()))
        wanted += count
    return right / max(wanted, 1)


def main():
    with tempfile.TemporaryDirectory() as folder:
        file = options.file
        if file is None:
            file = f"{folder}/points.npy"
            request = ["generate", "gaussian", "--rows", "32768", "--dim", "3", "--seed", str(options.seed), "-o", file, "--quiet"]
            subprocess.run([options.covertree, *request], check=True, capture_output=True)
        points = np.load(file).astype(np.float64) / options.lengthscale
        count = len(points)
        inducing = np.random.default_rng(options.seed).choice(count, min(options.inducing, count), replace=False)
        np.save(f"{folder}/inducing.npy", inducing.astype(np.int32))
        v, p = residuals(points, inducing)
        blas, truth = Blas(points, v, p, np.float32), Blas(points, v, p, np.float64)
        wanted = max(1, min(options.rows, count) // options.block)
        starts = sorted({int(start) for start in np.linspace(0, max(0, count - options.block), wanted)})
        blocks = [(start, min(start + options.block, count)) for start in starts]
        rows = [row for first, last in blocks for row in range(first, last)]
        asked = rows[:: max(1, len(rows) // options.truth)]
        named = {"BLAS f32, all points": lambda: timed_blas(True), "BLAS f32, earlier points": lambda: timed_blas(False)}

        def timed_blas(everything):
            seconds, found = blas.run(blocks, everything)
            place = {row: (at, row - first) for at, (first, last) in enumerate(blocks) for row in range(first, last)}
            return seconds, len(rows), lambda row: found[place[row][0]][place[row][1]], {}

        def timed_covertree(*more):
            seconds, ids, record = covertree(file, f"{folder}/inducing.npy", folder, *more)
            return seconds, count, lambda row: ids[row], record

        named["covertree vecchia"] = timed_covertree
        if options.fused:
            named["covertree, brute"] = lambda: timed_covertree("--strategy", "brute")
        measured = {name: [] for name in named}
        for _ in range(options.repeats):
            for name, contender in named.items():
                measured[name].append(contender())
        quantiles = ", ".join(f"{q:.1e}" for q in np.quantile(p, [0.1, 0.5, 0.9]))
        print(f"{file}: {count} x {points.shape[1]}, {options.kernel}, {len(inducing)} inducing points, k = {options.k}")
        print(f"{options.threads} threads, medians of {options.repeats}; p at 10, 50, 90 %: {quantiles}")
        print(f"{'':26} {'rows/s':>10} {'with V':>10} {'recall':>8}  pairs in tiles, padding included")
        for name, results in measured.items():
            rate = np.median([done / seconds for seconds, done, _, _ in results])
            _, _, ids_of, record = results[-1]
            whole, pairs = "", "N^2" if "all" in name else "N^2 / 2"
            if record:
                whole = f"{np.median([done / (said['covariance_s'] + seconds) for seconds, done, _, said in results]):.0f}"
                pairs = f"{record['distance_evals'] / record['pairs_all']:.3f} N^2 / 2"
            print(f"{name:26} {rate:10.0f} {whole:>10} {recall(truth, asked, ids_of):8.4f}  {pairs}")


main()
