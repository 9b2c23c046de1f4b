# Narrows. `make help` lists the targets.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GO      ?= go
MODULE   = github.com/narrows-profiler/narrows
LDFLAGS  = -X $(MODULE)/internal/version.version=$(VERSION)
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The clang that made the committed objects: another one makes other bytes.
CLANG ?= clang-19
STRIP ?= llvm-strip-19
MULTIARCH := $(shell gcc -print-multiarch 2>/dev/null)

export CGO_ENABLED = 0

.PHONY: help build run test test-full test-kernels fuzz bench bench-peers eval lint generate install clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/narrows (needs only Go)
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/narrows ./cmd/narrows

generate: ## compile the eBPF programs (needs clang-19, llvm-19 and libbpf-dev)
	BPF2GO_CC=$(CLANG) BPF2GO_STRIP=$(STRIP) \
	BPF2GO_CFLAGS="-O2 -g -Wall -Werror -mcpu=v3 -I/usr/include/$(MULTIARCH)" $(GO) generate ./bpf

run: build ## build, drive the reference services, profile and rank (needs root)
	bin/narrows run --plan quick $(RUNFLAGS)

test: build ## run every test that fits in a few minutes, those that load eBPF included (needs root)
	$(GO) test -timeout 20m $(TESTFLAGS) ./...

test-full: test ## also the long tests: every Go version, fuzzing for a while, the race detector
	NARROWS_TEST_FULL=1 $(GO) test -count=1 -timeout 60m ./...
	CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 60m ./collector/... ./workloads/... ./analysis/... ./symbolizer/...
	./fuzz.sh 30s

test-kernels: ## run the eBPF tests on Debian's 6.1 and 6.12 kernels, emulated (needs qemu-system-x86, busybox-static)
	$(GO) run ./internal/kerneltest/cmd/kerneltest -kernel 6.1 -kernel 6.12 \
		./internal/kerneltest/testdata/features ./collector/... ./cmd/narrows/internal/recording

fuzz: ## fuzz every parser for FUZZTIME each (default 10m)
	./fuzz.sh $(or $(FUZZTIME),10m)

bench: build ## measure what sampling, waits, collecting and naming cost on this machine, in a quarter of an hour (needs root)
	$(GO) run ./internal/costs/cmd/costs bin/narrows

bench-peers: build ## the same seconds under Narrows and under perf, where perf is installed (needs root)
	$(GO) run ./internal/costs/cmd/costs -peers bin/narrows

eval: build ## plant known bottlenecks and ask whether they are ranked first, in 20 minutes (needs root)
	$(GO) run ./internal/eval/cmd/eval $(EVALFLAGS) bin/narrows

lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(STATICCHECK) ./...

install: build ## install narrows into PREFIX/bin (default /usr/local)
	install -D -m 0755 bin/narrows $(DESTDIR)$(or $(PREFIX),/usr/local)/bin/narrows

clean: ## remove what was built
	rm -rf bin
