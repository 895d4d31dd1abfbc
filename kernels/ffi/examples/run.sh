#!/usr/bin/env bash
# Embedding, for real: makes a tree with the program `covertree`, then builds and runs a C program and a Rust program without
# std, heap or libc, which search it. usage: run.sh PATH-OF-COVERTREE
set -euo pipefail
covertree=$(realpath "$1")
cd "$(dirname "$0")/.."
out=$(cargo metadata --locked --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
work=$(mktemp -d)
library=
trap '[ -z "$library" ] || kill "$library" 2>/dev/null || true; rm -rf "$work"' EXIT

"$covertree" generate clusters --rows 3000 --dim 3 --seed 7 -o "$work/points.npy" --quiet
"$covertree" build "$work/points.npy" -o "$work/tree.ct" --quiet

# Both are optimised as a whole, each on one processor, and so side by side. With a target named, the flags go to the program
# alone and not to what runs while it is compiled.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo rustc --locked --release --lib --crate-type staticlib &
library=$!
COVERTREE_TREE_FILE="$work/tree.ct" COVERTREE_POINTS_FILE="$work/points.npy" \
    RUSTFLAGS="${RUSTFLAGS:-} -C relocation-model=static" \
    cargo build --locked --release -p covertree-embed --target "$host" --target-dir "$out/embed"
wait "$library"
library=

${CC:-cc} -std=c11 -O2 -Wall -Wextra -Werror -Iinclude -DTREE_FILE="\"$work/tree.ct\"" -DPOINTS_FILE="\"$work/points.npy\"" \
    -ffreestanding -fno-builtin -fno-stack-protector -fno-tree-loop-distribute-patterns -ffp-contract=off -fno-math-errno \
    -nostdlib -static -fno-pie -no-pie examples/embed.c "$out/release/libcovertree.a" -o "$work/embed"
"$work/embed"
"$out/embed/$host/release/embed"
