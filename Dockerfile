# The one image: operator and sync server are the same static binary.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS TARGETARCH VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY api api
COPY cmd cmd
COPY controllers controllers
COPY internal internal
COPY sync sync
RUN CGO_ENABLED=0 GOFIPS140=v1.0.0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/bailiwick ./cmd/bailiwick

FROM scratch
LABEL org.opencontainers.image.title="bailiwick" \
      org.opencontainers.image.source="https://github.com/bailiwick-dev/bailiwick" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/bailiwick /bailiwick
USER 65532:65532
ENTRYPOINT ["/bailiwick"]
