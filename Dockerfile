# The operator's and the consumers' images, built with Rust from this repository alone:
#   docker build --target operator -t bt-monitoring/operator:0.1.0 .
#   docker build --target consumers -t bt-monitoring/consumers:0.1.0 .
FROM rust:1.95-bookworm AS build
WORKDIR /src
# With --build-arg AUDITABLE=yes, as releases have it, the binaries carry the list of the crates in them.
ARG AUDITABLE=
RUN [ -z "$AUDITABLE" ] || cargo install --quiet --debug --locked cargo-auditable@0.7.7
# The dependencies first, by the manifests alone, so that a change to our own code does not build them again.
COPY Cargo.toml Cargo.lock ./
COPY kafka/Cargo.toml kafka/
COPY operator/Cargo.toml operator/
COPY consumers/Cargo.toml consumers/
COPY producers/rust/Cargo.toml producers/rust/
COPY e2e/Cargo.toml e2e/
COPY bench/Cargo.toml bench/
COPY dev/engine/Cargo.toml dev/engine/
RUN for crate in kafka operator consumers producers/rust e2e bench dev/engine; do mkdir $crate/src && touch $crate/src/lib.rs; done \
 && mkdir -p e2e/tests/kind && touch e2e/tests/kind/main.rs \
 && for bin in operator/src/main.rs operator/src/kubectl_bt.rs consumers/src/main.rs; do echo 'fn main() {}' > $bin; done \
 && cargo ${AUDITABLE:+auditable} build --release --locked -p bt-operator -p bt-consumers --bin bt-operator --bin bt-consumers
COPY kafka kafka
COPY operator operator
COPY consumers consumers
COPY producers/rust producers/rust
RUN find . -path ./target -prune -o -name '*.rs' -exec touch {} + \
 && cargo ${AUDITABLE:+auditable} build --release --locked -p bt-operator -p bt-consumers --bin bt-operator --bin bt-consumers && mv target/release/bt-operator target/release/bt-consumers /usr/local/bin/

FROM debian:bookworm-slim AS base
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends ca-certificates libssl3 zlib1g && rm -rf /var/lib/apt/lists/*
USER 65532:65532
EXPOSE 8080

FROM base AS operator
COPY --from=build /usr/local/bin/bt-operator /usr/local/bin/
ENTRYPOINT ["bt-operator"]
CMD ["run"]

FROM base AS consumers
COPY --from=build /usr/local/bin/bt-consumers /usr/local/bin/
EXPOSE 9090
ENTRYPOINT ["bt-consumers"]
CMD ["run", "--config", "/etc/bt-consumers/config.yaml"]
