# Tandem's commands. `make demo` and `make test` need nothing but Go: they install redis-server themselves on
# Debian and Ubuntu, and elsewhere say how.

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -X main.version=$(VERSION)
FUZZTIME ?= 30s

# The end-to-end suite is alone on the machine while it runs: it measures pauses and memory.
E2E  := ./test
# The longest suite begins first, so that the others fit beside it.
UNIT  = tandem/proxy $(shell $(GO) list ./... | grep -vx -e tandem/test -e tandem/proxy)

# The tests of real clients are a module of their own. They run the program that was built.
CLIENTS  = TANDEM_TEST_BINARY='$(CURDIR)/bin/tandem' $(GO) test -C test/clients -count=1 -p 1 -v
GO_ONES := ./goredis ./rueidis ./redigo

.PHONY: build demo test test-tools test-node chaos test-full bench fuzz lint redis node servers clean

build: ## ./bin/tandem
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/tandem ./cmd/tandem

demo: build redis ## a whole migration on servers that it starts and stops itself
	./bin/tandem demo

# A tenth of the sizes: at most 10 minutes on 2 cores.
test: build redis servers lint
	$(GO) test -timeout 9m -p 3 $(UNIT)
	$(GO) test -count=1 -timeout 9m -v $(E2E)
	$(CLIENTS) -timeout 9m $(GO_ONES)
	@echo 'make test-tools tests redis-cli and redis-benchmark, make test-node the clients that need Node.js: ioredis, node-redis, BullMQ'

test-tools: build redis servers ## redis-cli in all its modes, redis-benchmark with all its tests
	$(CLIENTS) -timeout 9m ./tools

test-node: build redis servers node ## ioredis, node-redis and BullMQ; installs Node.js where it is missing
	$(CLIENTS) -timeout 5m ./node

# Each seed is a campaign of faults of about a minute: make chaos SEEDS="1 2 3"
SEEDS ?= 1 2 3
chaos: build redis ## faults of every kind on every side, by seed; what really hit is printed
	TANDEM_TEST_BINARY='$(CURDIR)/bin/tandem' $(GO) test -C test/chaos -count=1 -v -timeout 10h . -args -seeds '$(SEEDS)'

# 1,000,000 keys, 100 MB and 512 MB values; wants 8 GB of memory and some 50 minutes on 2 cores. The other
# packages run with the race detector, and the ledger through 100,000 interleavings of each kind.
test-full: build redis servers node lint
	$(GO) test -race -timeout 15m $(UNIT)
	LEDGER_RUNS=100000 $(GO) test -count=1 -timeout 30m -run TestInterleavings ./internal/ledger
	TANDEM_TEST_FULL=1 $(GO) test -count=1 -timeout 90m -p 1 -v $(E2E) ./test/conformance
	TANDEM_TEST_FULL=1 $(CLIENTS) -timeout 60m $(GO_ONES) ./tools ./node

bench: build redis ## against direct connections and other proxies; the report is under bench/results
	./bench/run.sh

fuzz: ## every fuzz target for FUZZTIME
	GO='$(GO)' FUZZTIME='$(FUZZTIME)' ./scripts/fuzz.sh

lint:
	@bad=$$(find . -name '*.go' -not -path './.*' -print0 | xargs -0 gofmt -l); [ -z "$$bad" ] || { echo "not gofmt'ed:" $$bad >&2; exit 1; }
	$(GO) vet ./...
	$(GO) vet -C test/clients ./...
	$(GO) vet -C test/chaos ./...

redis:
	@./scripts/install-redis.sh

node:
	@./test/clients/node/install.sh

# Without a version the tests of that version say so and are left out: the others still run.
servers:
	@./scripts/servers.sh || echo '*** SOME SERVER VERSIONS ARE NOT TO BE HAD: they are not tested here ***' >&2

clean:
	rm -rf bin .servers bench/results
