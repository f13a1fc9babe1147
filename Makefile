# Bailiwick. `make help` lists what there is; `make demo` and `make test` do all the
# set-up that they need.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export GOTOOLCHAIN := local

BIN := $(CURDIR)/bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
# Modules with Go code of our own; each is formatted, linted and tested.
MODULES := . hack/localnode hack/demo hack/bundle
# Packages whose tests need the control plane.
INTEGRATION := ./api/... ./controllers/... ./test/...
CONTROLPLANE := go run ./test/controlplane/cmd/controlplane
FIGURES ?=
FUZZTIME ?= 10s
DEMO ?=
DEMO_OUTPUT ?=

##@ Everyday

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*##/ {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: need-go ## Run two sovereign clouds on this machine until Ctrl-C; DEMO=check asserts every fact and stops, DEMO_OUTPUT=json prints JSON.
	$(if $(DEMO_OUTPUT),@)CGO_ENABLED=0 go -C hack/demo build -trimpath -o $(BIN)/demo ./cmd/demo
	$(if $(DEMO_OUTPUT),@)cd hack/demo && $(BIN)/demo $(if $(DEMO),--mode=$(DEMO)) $(if $(DEMO_OUTPUT),-o $(DEMO_OUTPUT))

.PHONY: test
test: fmt-check lint generate-check unit integration e2e ## Run everything that must hold before a change lands.

.PHONY: build
build: need-go ## Build bin/bailiwick and the kubectl plugin bin/kubectl-bailiwick.
	CGO_ENABLED=0 GOFIPS140=v1.0.0 go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/bailiwick ./cmd/kubectl-bailiwick

.PHONY: figures
figures: need-go ## Measure and print the figures: name, value, unit, goal, ok or short. FIGURES=a,b runs some.
	@go -C hack/demo run ./cmd/figures --only='$(FIGURES)'

.PHONY: image
image: ## Build the image with Docker. IMAGE names it.
	docker build --build-arg VERSION=$(VERSION) -t $(or $(IMAGE),ghcr.io/bailiwick-dev/bailiwick:$(VERSION)) .

.PHONY: clean
clean: ## Remove what the build left in the tree.
	rm -rf $(BIN) dist

##@ Checks

.PHONY: fmt
fmt: $(BIN)/golangci-lint ## Format the Go code.
	for m in $(MODULES); do (cd $$m && $(BIN)/golangci-lint fmt --config $(CURDIR)/.golangci.yml); done

.PHONY: fmt-check
fmt-check: $(BIN)/golangci-lint ## Fail when Go code is not formatted.
	for m in $(MODULES); do (cd $$m && $(BIN)/golangci-lint fmt --config $(CURDIR)/.golangci.yml --diff); done

.PHONY: lint
lint: $(BIN)/golangci-lint ## Lint every module.
	$(BIN)/golangci-lint config verify --config .golangci.yml
	for m in $(MODULES); do (cd $$m && echo "lint $$m" && $(BIN)/golangci-lint run --config $(CURDIR)/.golangci.yml ./...); done

.PHONY: unit
unit: need-go ## Run the tests that need no control plane, with the race detector.
	go test -race -timeout 15m $$(go list ./cmd/... ./internal/... ./sync/...)
	for m in hack/bundle hack/demo; do go -C $$m test -race -timeout 15m ./...; done

.PHONY: integration
integration: controlplane ## Run the tests against a real control plane, with the race detector.
	go test -race -p 2 -timeout 30m $(INTEGRATION)
	go -C hack/localnode test -race -timeout 15m ./...

.PHONY: e2e
e2e: need-go ## Run the demo's own pieces end to end and assert every fact.
	$(MAKE) --no-print-directory demo DEMO=check

.PHONY: fuzz
fuzz: need-go ## Fuzz each parser for FUZZTIME (10s); an input that fails is kept in testdata/fuzz, for make test to try again.
	@grep -rlE --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do \
		for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9]+' $$dir/*_test.go | cut -d' ' -f2); do \
			echo "fuzz $$dir $$f"; go -C $$dir test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) . ; \
		done; \
	done

.PHONY: bench
bench: controlplane ## Run the benchmarks of the root module.
	go test -run '^$$' -bench . -benchmem ./...

##@ Generated

.PHONY: generate
generate: $(BIN)/controller-gen $(BIN)/crd-ref-docs ## Generate deep copies, CRDs, RBAC, the API reference and the bundle.
	$(BIN)/controller-gen object paths=./api/...
	$(BIN)/controller-gen crd paths=./api/... output:crd:dir=config/crd/bases
	$(BIN)/controller-gen rbac:roleName=bailiwick-operator paths=./controllers/... output:rbac:dir=config/rbac
	$(BIN)/crd-ref-docs --source-path=api/v1alpha1 --config=docs/crd-ref-docs.yaml --renderer=markdown --output-path=docs/reference.md
	$(MAKE) --no-print-directory bundle

.PHONY: generate-check
generate-check: generate ## Fail when generated files are stale or go.mod files are untidy.
	for m in $(MODULES); do go -C $$m mod tidy -diff; done
	@stale=$$(git status --porcelain -- api config docs bundle); \
	if [ -n "$$stale" ]; then echo "$$stale"; git --no-pager diff -- api config docs bundle | head -100; echo "generated files are stale: run 'make generate' and commit"; exit 1; fi

.PHONY: bundle
bundle: need-go ## Generate the OLM bundle into bundle/.
	go -C hack/bundle run . --root=$(CURDIR)

##@ Tools

.PHONY: controlplane
controlplane: need-go ## Compile the control plane (etcd, kube-apiserver, …) into the cache.
	@$(CONTROLPLANE) build

.PHONY: need-go
need-go:
	@command -v go >/dev/null || { echo "Go is missing: install Go 1.26 or newer (https://go.dev/dl) and put it on PATH"; exit 1; }
	@go list -m >/dev/null || { echo "this Go cannot build the module: install Go 1.26 or newer"; exit 1; }

$(BIN)/golangci-lint: hack/tools/go.mod hack/tools/go.sum | need-go
	CGO_ENABLED=0 go -C hack/tools build -trimpath -ldflags '-s -w' -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(BIN)/controller-gen: hack/tools/go.mod hack/tools/go.sum | need-go
	CGO_ENABLED=0 go -C hack/tools build -trimpath -ldflags '-s -w' -o $@ sigs.k8s.io/controller-tools/cmd/controller-gen

$(BIN)/crd-ref-docs: hack/tools/go.mod hack/tools/go.sum | need-go
	CGO_ENABLED=0 go -C hack/tools build -trimpath -ldflags '-s -w' -o $@ github.com/elastic/crd-ref-docs
