# Two stages: compile, then only the two programs (the agent, and its guardian, which belongs beside it). Both base images can be replaced, see docker-compose.yml.
ARG BUILD_IMAGE=rust:1.95-slim-bookworm
ARG RUN_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bins --config 'profile.release.strip=true'

FROM ${RUN_IMAGE}
COPY --from=build /src/target/release/quorate /src/target/release/quorate-guardian /usr/local/bin/
WORKDIR /quorate
VOLUME /quorate/data
# HTTP API; gossip (UDP) and control connections (TCP) on one number.
EXPOSE 8558/tcp 8559/tcp 8559/udp
# SIGTERM hands leadership over before the agent goes.
STOPSIGNAL SIGTERM
ENTRYPOINT ["quorate"]
CMD ["start", "-config-dir", "/etc/quorate"]
