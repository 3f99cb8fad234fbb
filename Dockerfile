# A container of Tandem: the static program, the certificates of public authorities, and a state directory. No shell, no
# root. docker build --build-arg VERSION=$(git describe --tags --always) -t tandem .
#
# Its steps are run without a container by test/deploy.

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/tandem ./cmd/tandem
RUN mkdir -p /out/state

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/tandem /usr/bin/tandem
# Files that a new volume begins with belong to whom it is for.
COPY --from=build --chown=65532:65532 /out/state /var/lib/tandem
USER 65532:65532
# The state directory says which server answers. It must outlive the container.
VOLUME ["/var/lib/tandem"]
WORKDIR /var/lib/tandem
# No setting is made here, for a variable of the image would come before a user's file: the state directory is
# ./tandem-state, within the volume.
ENV PATH=/usr/bin
EXPOSE 6380 6390
# It finds the admin address by TANDEM_ADMIN_LISTEN and shows TANDEM_ADMIN_TOKEN, where those are set.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/bin/tandem", "status", "--json"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/tandem"]
CMD ["serve", "--listen", "0.0.0.0:6380"]
