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

.PHONY: help build run test test-full test-kernels bench bench-peers lint generate install clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/narrows (needs only Go)
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/narrows ./cmd/narrows

generate: ## compile the eBPF programs (needs clang-19, llvm-19 and libbpf-dev)
	BPF2GO_CC=$(CLANG) BPF2GO_STRIP=$(STRIP) \
	BPF2GO_CFLAGS="-O2 -g -Wall -Werror -mcpu=v3 -I/usr/include/$(MULTIARCH)" $(GO) generate ./bpf
