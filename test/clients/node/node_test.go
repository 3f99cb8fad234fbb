package node

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"tandem/test/clients/stage"
	"tandem/test/program"
)

func TestMain(m *testing.M) { os.Exit(program.Main(m)) }

// oldest is the oldest version of Node.js that the libraries support.
const oldest = 18

// mustHaveNode fails a test that cannot run; it says how it could.
func mustHaveNode(t *testing.T) {
	t.Helper()
	out, err := exec.Command("node", "--version").Output()
	if err != nil {
		t.Fatalf("Node.js is not installed (%v): make test-node installs what it can", err)
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(out)), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldest {
		t.Fatalf("Node.js %s is too old: the libraries want %d", strings.TrimSpace(string(out)), oldest)
	}
	if _, err := os.Stat("node_modules"); err != nil {
		t.Fatalf("the libraries are not here: make test-node fetches them (npm ci)")
	}
}

func TestNodeClients(t *testing.T) {
	mustHaveNode(t)
	for _, pair := range stage.Pairs(stage.Pair{Source: "valkey-9.1", Target: "valkey-9.1"}) {
		t.Run(pair.String(), func(t *testing.T) {
			stage.Play(t, pair,
				script("ioredis 5", "ioredis.mjs", "ioredis5"),
				script("ioredis 6 resp2", "ioredis.mjs", "ioredis", "2"),
				script("ioredis 6 resp3", "ioredis.mjs", "ioredis", "3"),
				script("node-redis 5 resp2", "node-redis.mjs", "redis5", "2"),
				script("node-redis 6 resp3", "node-redis.mjs", "redis", "3"),
			)
		})
	}
}

func TestBullMQ(t *testing.T) {
	mustHaveNode(t)
	for _, pair := range stage.Pairs(stage.Pair{Source: "redis-7.0", Target: "redis-7.0"}) {
		t.Run(pair.String(), func(t *testing.T) {
			stage.Play(t, pair, script("BullMQ on ioredis", "bullmq.mjs", "ioredis"), script("BullMQ on node-redis", "bullmq.mjs", "redis"))
		})
	}
}
