# syntax=docker/dockerfile:1

# Stage 1: build. Dependencies and target folder stay in BuildKit's cache mounts, so a change of ours compiles only ours.
# The version of rust-toolchain.toml, which itself stays outside: rustup would fetch its components for development.
FROM rust:1.95.0-bookworm AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --release --bin parallax && \
    cp target/release/parallax /parallax

# Stage 2: the binary, glibc, and certificates. No shell, no package manager, no root.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /parallax /usr/local/bin/parallax
# nonroot by number, so that Kubernetes' runAsNonRoot can see it.
USER 65532:65532
# The allocator gives pages that are not used any more back after a second, not ten: reading the lists of a member needs them for
# a moment only.
ENV _RJEM_MALLOC_CONF=dirty_decay_ms:1000,muzzy_decay_ms:0
ENTRYPOINT ["/usr/local/bin/parallax"]
