#!/usr/bin/env python3
"""Runs two embq binaries with the same arguments and compares all of their output: standard output, standard error, the
exit code and every written file, byte by byte. For changes that must not affect any output:

    git worktree add ../before COMMIT && (cd ../before && cargo build)
    cargo build
    python3 tests/same_outputs.py ../before/target/debug/embq target/debug/embq

Only reported times are masked. Both binaries must be built with the same profile, because a different order of
operations rounds differently. Requires only Python.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

TIMES = [
    (re.compile(rb'("[a-z_]*seconds": )[0-9.e+-]+'), rb"\1TIME"),
    (re.compile(rb"\b[0-9.]+(e-?[0-9]+)? (ms|s|min)\b"), rb"TIME"),
]

DISTANCES = ["cosine", "euclidean", "sqeuclidean", "manhattan"]
FORMATS = ["table", "json", "markdown", "csv"]
FILES = ["-o", "result.json", "-o", "result.md", "-o", "result.csv", "-o", "result.txt"]
STILL = ["--no-timing", "--no-progress"]

UNEVEN = ["fixtures/uneven/embeddings.npy", "-l", "fixtures/uneven/labels.npy"]
DIGITS = ["fixtures/digits/embeddings.npy", "-l", "fixtures/digits/labels.npy"]
GLOSSES = ["fixtures/glosses1k_minilm/embeddings.npy", "-l", "fixtures/glosses1k_minilm/labels.txt"]
EPOCHS = [f"fixtures/fashion_ckpt_2k/epoch{epoch}.npy" for epoch in ("00", "01", "10")]
FASHION = ["-l", "fixtures/fashion_ckpt_2k/labels.npy"]


def score():
    for distance in DISTANCES:
        for precision in ("f32", "f64"):
            options = ["--distance", distance, "--precision", precision]
            for output in FORMATS:
                yield ["score", *UNEVEN, *options, "--format", output, *STILL]
            yield ["score", *UNEVEN, *options, "--metrics", "all", "--format", "json", *STILL]
            yield ["score", *DIGITS, *options, *FILES, *STILL]
            for rows, matrix in (("parquet", "parquet"), ("csv", "csv"), ("jsonl", "json"), ("npy", "npy")):
                files = ["--rows-out", f"rows.{rows}", "--matrix-out", f"matrix.{matrix}"]
                yield ["score", *UNEVEN, *options, *files, *STILL]
        options = ["--distance", distance]
        for softmin in ("weighted", "lse"):
            for softmax in ("lse", "hard"):
                soft = ["--softmin", softmin, "--softmax", softmax, "--temperature", "0.2"]
                yield ["score", *UNEVEN, *options, *soft, "--format", "json", *STILL]
        yield ["score", *DIGITS, *options, "--temperature", "auto", "--intervals", "--plot", "--hash", *STILL]
        rows = ["--rows-out", "rows.csv", "--intervals"]
        yield ["score", *DIGITS, *options, "--metrics", "all", "--batch-size", "256", *rows, "-o", "r.json", *STILL]
        yield ["score", *UNEVEN, *options, "--subsample", "40", "--seed", "3", "--format", "json", *STILL]
        yield ["score", *GLOSSES, *options, "--classes", "all", "--sort", "label", *STILL]
    yield ["score", *DIGITS]
    yield ["score", *DIGITS, "--format", "json"]
    yield ["score", *DIGITS, "--threads", "1", "--format", "json", *STILL]
    yield ["score", *DIGITS, "--quiet", "-o", "result.json", *STILL]
    yield ["score", *DIGITS, "-o", "page.html", *STILL]
    yield ["score", "fixtures/digits/embeddings.npy", "-l", "fixtures/digits/labels.txt", *STILL]
    yield ["score", *DIGITS, "-l", "fixtures/digits/labels.txt", "--format", "markdown", *STILL]
    yield ["score", *DIGITS, "--ignore-label", "3", "--exclude", "4", "--min-class-size", "178", *STILL]
    yield ["score", *DIGITS, "--include", "1", "--include", "2", "--format", "csv", *STILL]
    yield ["score", *DIGITS, "--batch", "fixtures/digits/labels.npy", "--metrics", "all", "--format", "json", *STILL]
    yield ["score", *UNEVEN, "--row-weights", "fixtures/uneven/labels.npy", "--format", "json", *STILL]
    gallery = ["--gallery", DIGITS[0], "--gallery-labels", DIGITS[2], "--metrics", "retrieval", "--k", "1,3"]
    yield ["score", *DIGITS, *gallery, "--format", "json", *STILL]
    for epoch in EPOCHS:
        yield ["score", epoch, *FASHION, "--metrics", "all", "--sample", "500", "--format", "json", *STILL]
    gates = ["silhouette < 0.3", "min_class(silhouette) < 0 or lower(silhouette) < 0.1", "delta(silhouette) < 0"]
    for gate in [*gates, "silhuette < 1", "silhouette <", "class('3').silhouette > 0.1"]:
        yield ["score", *DIGITS, "--intervals", "--fail-if", gate, "--junit", "junit.xml", *STILL]


def grad():
    losses = [["silhouette"], ["supcon"], ["center"], ["cross-entropy"], ["hybrid", "--mix", "silhouette=1,supcon=0.5"]]
    for distance in DISTANCES:
        for precision in ("f32", "f64"):
            options = ["--distance", distance, "--precision", precision]
            yield ["grad", *UNEVEN, "-g", "gradient.npy", *options, "--format", "json", *STILL]
            yield ["grad", *DIGITS, "-g", "gradient.npy", *options, *FILES, *STILL]
        yield ["grad", *DIGITS, "-g", "gradient.npy", "--distance", distance, "--batch-size", "300", *STILL]
    for loss in losses:
        for output in FORMATS:
            yield ["grad", *DIGITS, "-g", "gradient.npy", "--loss", *loss, "--format", output, *STILL]
    yield ["grad", *DIGITS, "-g", "gradient.npy", "--temperature", "auto"]
    yield ["grad", *DIGITS, "-g", "gradient.csv"]
    head = ["--head", "fixtures/gradients/head.npy", "--head-gradient", "head.npy"]
    yield ["grad", *DIGITS, "-g", "gradient.npy", "--loss", "cross-entropy", *head, *STILL]
    logits = ["--logits", "fixtures/digits/embeddings.npy", "--logits-gradient", "logits.npy"]
    yield ["grad", *DIGITS, "-g", "gradient.npy", "--loss", "hybrid", *logits, *STILL]


def compare():
    for distance in DISTANCES:
        yield ["compare", *EPOCHS, *FASHION, "--distance", distance, *FILES, *STILL]
    for output in FORMATS:
        yield ["compare", *EPOCHS[:2], *FASHION, "--format", output, *STILL]
    yield ["compare", *EPOCHS, *FASHION, "--select", "best", "--by", "soft_silhouette", *STILL]
    yield ["compare", "fixtures/fashion_ckpt_2k", *FASHION, *STILL]
    yield ["compare", *EPOCHS[:2], *FASHION, "--temperature", "auto", "--metrics", "all", "--format", "json", *STILL]
    yield ["compare", *EPOCHS, *FASHION, "--name", f"{EPOCHS[0]}=first", "--fail-if", "delta(silhouette) < 1", *STILL]
    yield ["compare", *EPOCHS[:2], *FASHION, "--fail-if", "upper(delta(margin)) < 0", "--junit", "j.xml", *STILL]
    yield ["compare", EPOCHS[0], DIGITS[0], *FASHION, *STILL]
    yield ["compare", DIGITS[0], EPOCHS[1], "--labels-for", f"{DIGITS[0]}={DIGITS[2]}", *FASHION, "--allow-mismatch"]
    yield ["compare"]


def report():
    for distance in DISTANCES:
        yield ["report", *UNEVEN, "-o", "page.html", "--distance", distance, *STILL]
        yield ["report", *DIGITS, "-o", "page.html", "--distance", distance, "--subsample", "500", *STILL]
    yield ["report", *GLOSSES, "-o", "page.html", "--text", "fixtures/glosses1k_minilm/labels.txt", *STILL]
    yield ["report", *EPOCHS, *FASHION, "-o", "page.html", *STILL]
    yield ["report", *EPOCHS, *FASHION, "-o", "page.json", *STILL]


def suspects():
    for distance in DISTANCES:
        for output in FORMATS:
            yield ["suspects", *DIGITS, "--distance", distance, "--format", output, *STILL]
    yield ["suspects", *GLOSSES, "-k", "20", "--limit", "all", *FILES, *STILL]
    yield ["suspects", *UNEVEN, "--precision", "f64", "--ids", "fixtures/uneven/labels.npy", *STILL]


def inspect_and_formats():
    files = [path for path in sorted((ROOT / "fixtures").rglob("*")) if path.is_file()]
    folders = [path for path in sorted((ROOT / "fixtures").rglob("*")) if path.is_dir()]
    for path in [*files, *folders]:
        name = str(path.relative_to(ROOT))
        for output in ("table", "json"):
            yield ["inspect", name, "--format", output]
        if "golden" in name or path.suffix == ".py":
            continue
        for labels in ("label", "fixtures/formats/labels.npy", ":labels"):
            yield ["score", name, "-l", labels, "--distance", "euclidean", "--format", "json", "--hash", *STILL]
        for selector in ("emb", "embedding", "f0..f2", "nothing"):
            yield ["score", f"{name}:{selector}", "-l", "label", "--format", "json", "--rows-out", "r.parquet", *STILL]
    yield ["score", "fixtures/formats/shards/emb-*.npy", "-l", "fixtures/formats/shards/lab-*.npy", *STILL]
    yield ["inspect", "fixtures/formats/shards/*.npy"]


def others():
    yield ["metrics"]
    yield ["metrics", "--format", "json"]
    yield ["man"]
    yield ["--version"]
    yield []
    for command in ("score", "grad", "report", "suspects", "compare", "inspect", "metrics", "schema", "completions"):
        yield [command, "--help"]
        yield [command, "-h"]
        yield [command, "--nothing"]
    for command in ("score", "compare", "grad", "suspects"):
        yield ["schema", command]
    for shell in ("bash", "zsh", "fish", "powershell", "elvish"):
        yield ["completions", shell]
    yield ["scor"]


def errors():
    yield ["score", "nowhere.npy", "-l", "labels.npy"]
    yield ["score", "fixtures/digits/embedding.npy", "-l", DIGITS[2]]
    yield ["score", DIGITS[0], "-l", EPOCHS[0]]
    yield ["score", DIGITS[0], "-l", "fixtures/fashion_ckpt_2k/labels.npy"]
    yield ["score", DIGITS[0], "-l", "fixtures/digits/classes.txt"]
    yield ["score", *DIGITS, "--distance", "cosin"]
    yield ["score", *DIGITS, "--metrics", "silhuette"]
    yield ["score", *DIGITS, "--distance", "precomputed"]
    yield ["score", *DIGITS, "--temperature", "-1"]
    yield ["score", *DIGITS, "--exclude", "eleven"]
    yield ["score", *DIGITS, "-o", "no/such/folder.json"]
    yield ["score", *DIGITS, "-o", "result.xlsx"]
    yield ["score", *DIGITS, "--rows-out", "rows.xlsx"]
    yield ["score", *DIGITS, "--matrix-out", "matrix.xlsx"]
    yield ["score", *DIGITS, "-o", "result.json", "-o", "./result.json"]
    yield ["score", *DIGITS, "-o", DIGITS[0]]
    yield ["score", *UNEVEN, "--row-weights", "fixtures/digits/labels.npy"]
    yield ["score", "truncated.npy", "-l", DIGITS[2]]
    yield ["score", "truncated.parquet", "-l", "label"]
    yield ["score", "flipped.parquet", "-l", "label"]
    yield ["score", "flipped.feather", "-l", "label"]


def damaged(folder):
    """The files that changed."""
    (folder / "truncated.npy").write_bytes((ROOT / DIGITS[0]).read_bytes()[:5000])
    whole = (ROOT / "fixtures/formats/columns.parquet").read_bytes()
    (folder / "truncated.parquet").write_bytes(whole[: len(whole) // 2])
    for name, source in (("flipped.parquet", "columns.parquet"), ("flipped.feather", "lz4.feather")):
        content = bytearray((ROOT / "fixtures/formats" / source).read_bytes())
        for place in range(len(content) // 5, len(content), len(content) // 5):
            content[place] ^= 0xFF
        (folder / name).write_bytes(content)


def run(binary, arguments):
    """The output of a run in its own folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "fixtures").symlink_to(ROOT / "fixtures")
        damaged(folder)
        before = {path.name for path in folder.iterdir()}
        environment = {"NO_COLOR": "1", "PATH": os.environ.get("PATH", "")}
        command = [binary, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True)
        left = {"exit code": str(done.returncode).encode(), "stdout": done.stdout, "stderr": done.stderr}
        for path in sorted(folder.iterdir()):
            if path.name not in before:
                left[path.name] = path.read_bytes()
    for what, content in left.items():
        if not what.endswith((".npy", ".parquet")):
            for pattern, mask in TIMES:
                content = pattern.sub(mask, content)
            left[what] = content
    return left


def shown(content, other):
    """The first difference between two texts."""
    ends = min(len(content), len(other))
    place = next((place for place in range(ends) if content[place] != other[place]), ends)
    return repr(content[max(place - 60, 0) : place + 100])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="the binary that is right")
    parser.add_argument("new", help="the binary that is to do the same")
    options = parser.parse_args()
    binaries = []
    for binary in (options.old, options.new):
        found = shutil.which(binary) or sys.exit(f"{binary} is not a program")
        binaries.append(str(Path(found).resolve()))
    rooms = (score, grad, compare, report, suspects, inspect_and_formats, others, errors)
    cases = [case for room in rooms for case in room()]
    different, codes, files = 0, {}, 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = pool.map(lambda case: [run(binary, case) for binary in binaries], cases)
        for case, (old, new) in zip(cases, runs):
            codes[old["exit code"]] = codes.get(old["exit code"], 0) + 1
            files += len(old) - 3
            for what in sorted(old.keys() | new.keys()):
                left, right = old.get(what, b"(nothing)"), new.get(what, b"(nothing)")
                if left != right:
                    different += 1
                    print(f"embq {' '.join(case)}\n  {what}:\n    {shown(left, right)}\n    {shown(right, left)}")
    counts = ", ".join(f"{count} with exit code {code.decode()}" for code, count in sorted(codes.items()))
    print(f"{len(cases)} runs ({counts}) and {files} written files: {different or 'no'} differences")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
