#!/usr/bin/env bash
# Leaves a way to compile Rust plugins to WebAssembly components. Safe to run again: it does only what is missing.
#
#   Ordinary machine   rustup target add wasm32-unknown-unknown, for the active toolchain. Nothing else.
#   RUSTUP_AUTO_INSTALL=0 (rustup must not download), amd64 Debian with its security archive:
#                      Debian's own Rust, unpacked into one private folder, compiles the standard library for Wasm;
#                      the folder becomes the rustup toolchain `jackfield-wasm` by a local link. No root, nothing
#                      installed, no other toolchain touched. 1 to 2 minutes, 0.6 GB (1.2 GB while it runs).
#
# Usage: scripts/setup-wasm.sh [--check | --remove]
#   --check    say whether a plugin can be built here; change nothing; exit 0 or 1
#   --remove   undo the Debian way: the link and the folder
#
# The build looks for the target in the active toolchain first, then in `+jackfield-wasm`.
set -euo pipefail

TARGET=wasm32-unknown-unknown
NAME=jackfield-wasm
HOST=x86_64-unknown-linux-gnu
PREFIX="${XDG_DATA_HOME:-$HOME/.local/share}/$NAME"
LINK="${RUSTUP_HOME:-$HOME/.rustup}/toolchains/$NAME"
TOOLCHAIN="$PREFIX/toolchain"
WORK="$PREFIX/work"

say() { printf '[setup-wasm] %s\n' "$*"; }
die() { printf '[setup-wasm] ERROR: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# What belongs to the caller's own builds must not leak into this one.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET CARGO_BUILD_RUSTFLAGS CARGO_TARGET_DIR \
  RUSTC RUSTC_WRAPPER RUSTC_BOOTSTRAP RUSTUP_TOOLCHAIN

# smoke [+toolchain]: one file through the compiler and the component linker.
smoke() {
  local dir status=0
  dir="$(mktemp -d)"
  cat > "$dir/smoke.rs" <<'RS'
#[unsafe(no_mangle)]
pub extern "C" fn smoke(n: u32) -> u32 { format!("{n}").len() as u32 }
RS
  { RUSTUP_AUTO_INSTALL=0 rustc "$@" --edition 2024 --crate-type cdylib --target "$TARGET" -O \
      -Clinker=wasm-component-ld -o "$dir/smoke.wasm" "$dir/smoke.rs" &&
    [ "$(od -An -tx1 -N8 "$dir/smoke.wasm" | tr -d ' \n')" = 0061736d0d000100 ]; } >"$dir/log" 2>&1 || status=1
  [ "$status" = 0 ] || SMOKE_LOG="$(tail -5 "$dir/log")"
  rm -rf "$dir"
  return "$status"
}

linked() { [ -L "$LINK" ] && [ "$(readlink -f "$LINK")" = "$(readlink -f "$TOOLCHAIN")" ]; }
taken() { { [ -e "$LINK" ] || [ -L "$LINK" ]; } && ! linked; }

ready() {
  if smoke; then say "ready: the active toolchain ($(rustc -V)) builds components"; return 0; fi
  if linked && smoke "+$NAME"; then say "ready: the toolchain $NAME ($(rustc "+$NAME" -V)) builds components"; return 0; fi
  return 1
}

by_rustup() {
  local active
  active="$(rustup show active-toolchain | awk '{print $1}')"
  say "rustup target add --toolchain $active $TARGET"
  rustup target add --toolchain "$active" "$TARGET"
  smoke || die "the target is there, and a component still cannot be built: $SMOKE_LOG"
}

fetch_debian() {
  local version="$1" minor llvm
  minor="${version%%+*}"; minor="${minor%.*}"                          # 1.96.0+dfsg1-... -> 1.96
  llvm="$(apt-cache depends "libstd-rust-web-$minor" | awk '/Depends: libllvm/{print $2; exit}')"
  [ -n "$llvm" ] || die "cannot tell which libllvm rustc-web needs"
  (cd "$WORK/deb" && apt-get -qq -o APT::Sandbox::User=root download \
    "rustc-web=$version" "libstd-rust-web-$minor=$version" "libstd-rust-web-dev=$version" \
    "rust-web-src=$version" "$llvm" "lld-${llvm#libllvm}")
  for deb in "$WORK"/deb/*.deb; do
    case "$deb" in
      */rust-web-src_*) dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$WORK/x" --wildcards \
        './usr/src/*/library/*' './usr/src/*/src/llvm-project/*' 2>/dev/null || true ;;
      *) dpkg-deb -x "$deb" "$WORK/x" ;;
    esac
  done
}

# find_tool NAME: rustup's own toolchains ship the Wasm linkers for the host even without any Wasm target.
find_tool() {
  local root
  for root in "$(rustc --print sysroot)" "${RUSTUP_HOME:-$HOME/.rustup}"/toolchains/*; do
    [ "$root" -ef "$TOOLCHAIN" ] && continue
    if [ -x "$root/lib/rustlib/$HOST/bin/$1" ]; then readlink -f "$root/lib/rustlib/$HOST/bin/$1"; return 0; fi
  done
  return 1
}

assemble_toolchain() {
  local lib="$TOOLCHAIN/lib/rustlib" x="$WORK/x/usr" missing tool
  mv "$x"/lib/x86_64-linux-gnu/librustc_driver-*.so "$x"/lib/x86_64-linux-gnu/libLLVM*.so* "$TOOLCHAIN/lib/"
  mv "$x/lib/rustlib/$HOST/lib" "$lib/$HOST/lib"
  mv "$x/bin/rustc" "$TOOLCHAIN/bin/rustc"
  missing="$(LD_LIBRARY_PATH="$TOOLCHAIN/lib" ldd "$TOOLCHAIN"/lib/*.so* | awk '/not found/{print $1}' | sort -u)"
  [ -z "$missing" ] || die "shared libraries missing here: $(echo "$missing" | tr '\n' ' ')"
  if tool="$(find_tool rust-lld)"; then ln -s "$tool" "$lib/$HOST/bin/rust-lld"; else
    mkdir -p "$TOOLCHAIN/lld"; cp -a "$x"/lib/llvm-*/bin/lld "$TOOLCHAIN/lld/lld"
    printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$TOOLCHAIN/lib" "$TOOLCHAIN/lld/lld" > "$lib/$HOST/bin/rust-lld"
    chmod +x "$lib/$HOST/bin/rust-lld"
  fi
  if tool="$(find_tool wasm-component-ld)"; then ln -s "$tool" "$lib/$HOST/bin/wasm-component-ld"; else
    say "      no toolchain here has wasm-component-ld; building it from crates.io"
    nice cargo install -q --locked --root "$TOOLCHAIN/cld" wasm-component-ld
    ln -s "$TOOLCHAIN/cld/bin/wasm-component-ld" "$lib/$HOST/bin/"
  fi
  ln -s "$(readlink -f "$(rustup which cargo)")" "$TOOLCHAIN/bin/cargo"
  linked || rustup toolchain link "$NAME" "$TOOLCHAIN"
}

compile_std() {
  local source
  source="$(echo "$WORK"/x/usr/src/rustc-*/library)"
  [ -f "$source/sysroot/Cargo.toml" ] || die "the source of the standard library was not found in rust-web-src"
  # Debian's vendored copy misses crates that only other systems need, so Cargo's registry is asked for them.
  # Panics name source files: not where they lie on this machine.
  local remap="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo --remap-path-prefix=$source=/rust/library"
  RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zforce-unstable-if-unmarked -Cembed-bitcode=yes $remap" nice cargo "+$NAME" build \
    -q --release --locked --manifest-path "$source/sysroot/Cargo.toml" --target "$TARGET" --target-dir "$WORK/std"
  mkdir -p "$TOOLCHAIN/lib/rustlib/$TARGET/lib"
  cp "$WORK/std/$TARGET/release/deps"/lib*.rlib "$TOOLCHAIN/lib/rustlib/$TARGET/lib/"
}

by_debian() {
  local version
  { have apt-get && have dpkg-deb; } ||
    die "rustup may not download here, and this is not Debian; run: rustup target add $TARGET"
  [ "$(dpkg --print-architecture)" = amd64 ] || die "the Debian way is written for amd64"
  taken && die "a toolchain named $NAME exists and is not this script's: rename or remove it"
  version="$(apt-cache policy rustc-web | awk '/Candidate:/{print $2}')"
  { [ -n "$version" ] && [ "$version" != "(none)" ]; } ||
    die "Debian has no package rustc-web in its lists (it is in bookworm-security); run as root: apt-get update"
  rm -rf "$TOOLCHAIN" "$WORK"
  mkdir -p "$TOOLCHAIN/bin" "$TOOLCHAIN/lib/rustlib/$HOST/bin" "$WORK/deb" "$WORK/x"
  say "1/4 fetching Debian's rustc-web $version and its sources; nothing is installed"
  fetch_debian "$version"
  say "2/4 putting the private toolchain together in $PREFIX"
  assemble_toolchain
  say "3/4 compiling the standard library for $TARGET ($(rustc "+$NAME" -V))"
  compile_std
  say "4/4 trying it"
  smoke "+$NAME" || die "a component still cannot be built: $SMOKE_LOG"
  rm -rf "$WORK"
}

case "${1:-}" in
  -h|--help) sed -n '2,16p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
  --check) ready || { say "no toolchain here builds components; run scripts/setup-wasm.sh"; exit 1; }; exit 0 ;;
  --remove)
    taken && die "the toolchain $NAME is not a link to $TOOLCHAIN; nothing removed"
    if linked; then rustup toolchain uninstall "$NAME"; fi
    rm -rf "$PREFIX"; say "removed $NAME"; exit 0 ;;
  "") ;;
  *) die "unknown option: $1 (--check, --remove or nothing)" ;;
esac

# The build script of the broker looks again for a toolchain when its own file is newer.
look_again() { touch "$(dirname "${BASH_SOURCE[0]}")/../broker/build.rs" 2>/dev/null || true; }

have cargo && have rustup || die "cargo and rustup are needed; see https://rustup.rs"
ready && exit 0
if [ "${RUSTUP_AUTO_INSTALL:-1}" = 0 ]; then
  say "RUSTUP_AUTO_INSTALL=0: rustup may not download here, so Debian's packages are used"
  by_debian
else
  by_rustup
fi
ready || die "something is missing after all"
look_again
