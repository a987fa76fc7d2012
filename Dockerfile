# The image holds the program and the libraries that it loads, nothing else: no shell, no package manager.
#   docker build -t attend-server .
#   docker run --rm -p 8080:8080 attend-server
FROM debian:trixie-slim AS build
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        make gcc libc6-dev pkg-config libmicrohttpd-dev libgnutls28-dev libjansson-dev libopenblas0-pthread zlib1g-dev libspng-dev esbuild \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Makefile LICENSE ./
COPY core core
COPY server server
# OpenBLAS is loaded by its name, if it is chosen, so ldd does not list it with the others.
RUN make build/attend-server \
 && strip build/attend-server \
 && mkdir -p /image/usr/bin /image/tmp \
 && cp build/attend-server LICENSE /image/usr/bin/ \
 && blas=$(ldconfig -p | grep -o '/[^ ]*/libopenblas\.so\.0$') \
 && { echo "$blas"; ldd build/attend-server "$blas" | grep '=>\|ld-linux' | grep -o '/[^ ]*'; } | sort -u | xargs cp -L --parents -t /image

FROM scratch
COPY --from=build /image /
# Inside a container the address to listen on is all of the container's.
ENV ATTEND_HOST=0.0.0.0
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s CMD ["/usr/bin/attend-server", "--probe"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/attend-server"]
