package main

import (
	"bufio"
	"context"
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// Every request that was asked for arrives on both servers, the last pipeline being shorter.
func TestAnApplicationWritesToBothServers(t *testing.T) {
	ctx := context.Background()
	first, second := redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	w := workload{Command: "SET", Pipeline: 16, Clients: 3, Requests: 1001, Keyspace: 50, Value: 100}
	run, err := runApplication(ctx, []string{first.Addr, second.Addr}, w)
	if err != nil {
		t.Fatal(err)
	}
	if run.RPS <= 0 || run.P50 <= 0 || run.P99 < run.P50 || run.CPU <= 0 {
		t.Errorf("not measured: %+v", run)
	}
	for _, s := range []*redisd.Server{first, second} {
		if n, err := countKeys(ctx, s.Addr); err != nil || n != 50 {
			t.Errorf("%d keys of 50, %v", n, err)
		}
		client, err := dial(s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		stats, err := client.Do(ctx, client.B().Info().Section("commandstats").Build()).ToString()
		client.Close()
		if err != nil || !strings.Contains(stats, "cmdstat_set:calls=1001,") {
			t.Errorf("not 1001 SETs: %v\n%s", err, stats)
		}
	}
	full := redisdtest.Start(t, redisd.Options{Args: []string{"--maxmemory", "1", "--maxmemory-policy", "noeviction"}})
	if _, err := runApplication(ctx, []string{first.Addr, full.Addr}, w); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("a server that refuses: %v", err)
	}
}

func TestReplies(t *testing.T) {
	r := bufio.NewReader(strings.NewReader("+OK\r\n$-1\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n:1\r\n-ERR no\r\n"))
	for i := range 5 {
		if err := readReply(r); err != nil {
			t.Fatalf("reply %d: %v", i, err)
		}
	}
	if err := readReply(r); err == nil || !strings.Contains(err.Error(), "ERR no") {
		t.Errorf("an error reply: %v", err)
	}
}
