# Tandem's commands. `make demo` and `make test` need nothing but Go: they install redis-server themselves on
# Debian and Ubuntu, and elsewhere say how.

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -X main.version=$(VERSION)
FUZZTIME ?= 30s

# The program and its tests are compiled alike, static, so that one set of compiled packages serves both.
export GOFLAGS     := $(GOFLAGS) -trimpath
export CGO_ENABLED := 0

# The end-to-end suite is alone on the machine while it runs: it measures pauses and memory.
E2E  := ./test
# The longest suites begin first, and mostly wait, so that the others fit beside them.
LONG := tandem/proxy tandem/migration tandem/backfill tandem/test/conformance
UNIT  = $(LONG) $(shell $(GO) list ./... | grep -vx -e tandem/test $(LONG:%=-e %))

# What is given to gotestsum besides: .ci/run has what failed run again.
AGAIN   ?=
TESTSUM := $(GO) run gotest.tools/gotestsum@v1.13.0 $(AGAIN)

# The tests of real clients are a module of their own. They run the program that was built.
CLIENTS  = cd test/clients && TANDEM_TEST_BINARY='$(CURDIR)/bin/tandem' $(TESTSUM) --format standard-verbose
ONE     := -count=1 -p 1
GO_ONES := ./goredis ./rueidis ./redigo

.PHONY: build demo test test-tools test-node test-dashboard test-deploy dashboard-pictures dashboard-vendor browser chaos release test-full bench bench-micro fuzz lint \
        redis node servers clean

build: ## ./bin/tandem, static
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/tandem ./cmd/tandem

demo: build redis ## a whole migration on servers that it starts and stops itself
	./bin/tandem demo

# A tenth of the sizes: at most 10 minutes on 2 cores.
test: build redis servers lint
	$(TESTSUM) --format pkgname --packages '$(UNIT)' -- -timeout 9m -p 4
	TANDEM_TEST_BINARY='$(CURDIR)/bin/tandem' $(TESTSUM) --format standard-verbose --packages '$(E2E)' -- -count=1 -timeout 9m
	$(CLIENTS) --packages '$(GO_ONES)' -- $(ONE) -timeout 9m
	@echo 'make test-tools tests redis-cli and redis-benchmark, make test-node the clients that need Node.js: ioredis, node-redis, BullMQ; make test-dashboard the dashboard, in a browser'

test-tools: build redis servers ## redis-cli in all its modes, redis-benchmark with all its tests
	$(CLIENTS) --packages ./tools -- $(ONE) -timeout 9m

test-node: build redis servers node ## ioredis, node-redis and BullMQ; installs Node.js where it is missing
	$(CLIENTS) --packages ./node -- $(ONE) -timeout 5m

# Half a dozen seconds for each thing that a person does with the dashboard, some 90 in all.
test-dashboard: build redis browser ## the dashboard, driven in chromium through whole migrations on real servers
	cd test/dashboard && TANDEM_TEST_BINARY='$(CURDIR)/bin/tandem' node --test --test-reporter=spec .

dashboard-pictures: build redis browser ## the pictures of docs/images, made anew: some four minutes, on a machine that is not busy
	cd test/dashboard && TANDEM_TEST_BINARY='$(CURDIR)/bin/tandem' node pictures.mjs '$(CURDIR)/docs/images'

dashboard-vendor: ## the charting library, as it is on npm
	./internal/dashboard/recipe.sh

# Each seed is a campaign of faults of about a minute: make chaos SEEDS="1 2 3". Those that are played by default choose
# between them all kinds of faults, servers of other versions in both directions, ack: both, scripts: replay, and clients on both servers.
SEEDS ?= 6 7 9 11
chaos: build redis servers ## faults of every kind on every side, by seed; what really hit is printed
	TANDEM_TEST_BINARY='$(CURDIR)/bin/tandem' $(GO) test -C test/chaos -count=1 -v -timeout 10h . -args -seeds '$(SEEDS)'

# What deploy/ holds, as it is used: the package is installed and removed again, so it is for a machine or a container
# where that is no harm, and wants root. Installs prometheus where it is missing.
test-deploy: build redis ## packages, units, manifests, dashboards and alert rules
	@./scripts/install-prometheus.sh
	TANDEM_TEST_BINARY='$(CURDIR)/bin/tandem' $(GO) test -C test/deploy -count=1 -v -timeout 8m .

release: ## packages, archives, checksums and the list of parts for every architecture, in ./dist
	./scripts/release.sh '$(VERSION)' dist

# 1,000,000 keys, 100 MB and 512 MB values; wants 8 GB of memory and some 50 minutes on 2 cores. The other
# packages run with the race detector, and the ledger through 100,000 interleavings of each kind.
test-full: build redis servers node lint
	CGO_ENABLED=1 $(GO) test -race -timeout 15m $(UNIT)
	LEDGER_RUNS=100000 $(GO) test -count=1 -timeout 30m -run TestInterleavings ./internal/ledger
	TANDEM_TEST_FULL=1 $(GO) test -count=1 -timeout 90m -p 1 -v $(E2E) ./test/conformance
	export TANDEM_TEST_FULL=1; $(CLIENTS) --packages '$(GO_ONES) ./tools ./node' -- $(ONE) -timeout 60m

bench: build redis ## against direct connections and other proxies; the report is under bench/results
	./bench/run.sh

# What one step of a command's way costs: for comparisons of two states of the code (docs/performance.md). Some 20 minutes,
# and 3 GB of memory for the sets at 10,000,000 keys; BENCH=Guard measures those only whose names have that in them.
BENCH  ?= .
COUNT  ?= 6
HOT    := ./internal/resp ./router ./internal/ledger ./internal/intent ./internal/kept ./internal/latency ./proxy
bench-micro: redis ## each step of the hot path alone, and all together, for benchstat
	$(GO) test -run '^$$' -bench '$(BENCH)' -count $(COUNT) -benchtime 200ms -timeout 60m $(HOT)

fuzz: ## every fuzz target for FUZZTIME
	GO='$(GO)' FUZZTIME='$(FUZZTIME)' ./scripts/fuzz.sh

lint:
	@bad=$$(find . -name '*.go' -not -path './.*' -print0 | xargs -0 gofmt -l); [ -z "$$bad" ] || { echo "not gofmt'ed:" $$bad >&2; exit 1; }
	$(GO) vet ./...
	$(GO) vet -C test/clients ./...
	$(GO) vet -C test/chaos ./...
	$(GO) vet -C test/deploy ./...

redis:
	@./scripts/install-redis.sh

node:
	@./scripts/install-node.sh test/clients/node

browser:
	@./scripts/install-chromium.sh
	@./scripts/install-node.sh test/dashboard

# Without a version the tests of that version say so and are left out: the others still run.
servers:
	@./scripts/servers.sh || echo '*** SOME SERVER VERSIONS ARE NOT TO BE HAD: they are not tested here ***' >&2

clean:
	rm -rf bin dist .servers bench/results
