#!/usr/bin/env bash
# Runs every fuzz target for FUZZ_SECONDS (60) on stable Rust: libFuzzer with the compiler's own coverage passes.
# Findings stay in tests/fuzz/artifacts; a target that finds one ends the run with its exit code.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${FUZZ_SECONDS:-60}
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
target=$(rustc -vV | sed -n 's/^host: //p')
# With an explicit target the flags reach the targets, not the build scripts.
cargo build --release --target "$target"
for name in $(sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | tail -n +2); do
    mkdir -p "corpus/$name" "artifacts/$name"
    echo "== $name, $seconds s"
    "target/$target/release/$name" "corpus/$name" -max_total_time="$seconds" -artifact_prefix="artifacts/$name/" -print_final_stats=1 2>&1 |
        grep -E 'ERROR|SUMMARY|stat::number_of_executed_units|panicked|Test unit' || true
    test "${PIPESTATUS[0]}" -eq 0
done
