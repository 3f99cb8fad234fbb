package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// clientRun is what the client itself saw of a run.
type clientRun struct {
	RPS      float64
	P50, P99 float64 // ms; of a pipelined run, of a whole pipeline
	CPU      time.Duration
}

// runClient runs redis-benchmark once, with further flags. Any complaint of it fails the run: an error reply in a
// benchmark means that something else was measured than the table says.
func runClient(ctx context.Context, addr string, w workload, flags ...string) (clientRun, error) {
	host, port, _ := strings.Cut(addr, ":")
	args := append([]string{"-h", host, "-p", port, "--csv", "-t", strings.ToLower(w.Command),
		"-n", strconv.Itoa(w.Requests), "-c", strconv.Itoa(w.Clients), "-P", strconv.Itoa(w.Pipeline),
		"-r", strconv.Itoa(w.Keyspace), "-d", strconv.Itoa(w.Value)}, flags...)
	cmd := exec.CommandContext(ctx, "redis-benchmark", args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return clientRun{}, fmt.Errorf("redis-benchmark %s on %s: %w: %s", w, addr, err, complaint(&stdout, &stderr))
	}
	if strings.Contains(stdout.String()+stderr.String(), "Error from server") {
		return clientRun{}, fmt.Errorf("redis-benchmark %s on %s: %s", w, addr, complaint(&stdout, &stderr))
	}
	run, err := parseClientCSV(&stdout, w.Command)
	if err != nil {
		return clientRun{}, fmt.Errorf("redis-benchmark %s on %s: %w", w, addr, err)
	}
	run.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return run, nil
}

// parseClientCSV finds the row of command in what `redis-benchmark --csv` printed. Columns are found by
// name: versions before 6.2 print no latencies, and then those stay 0.
func parseClientCSV(r io.Reader, command string) (clientRun, error) {
	rows := csv.NewReader(r)
	rows.FieldsPerRecord = -1
	var header []string
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return clientRun{}, fmt.Errorf("its output has no row for %s", command)
		}
		if err != nil {
			return clientRun{}, fmt.Errorf("its output is not CSV: %w", err)
		}
		switch {
		case len(row) > 1 && row[0] == "test":
			header = row
		case len(row) > 1 && (row[0] == command || strings.HasPrefix(row[0], command+" (")): // MSET (10 keys)
			return clientRow(header, row)
		}
	}
}

func clientRow(header, row []string) (clientRun, error) {
	if header == nil {
		header = []string{"test", "rps"}
	}
	var run clientRun
	into := map[string]*float64{"rps": &run.RPS, "p50_latency_ms": &run.P50, "p99_latency_ms": &run.P99}
	for i, name := range header {
		field, ok := into[name]
		if !ok || i >= len(row) {
			continue
		}
		v, err := strconv.ParseFloat(row[i], 64)
		if err != nil {
			return clientRun{}, fmt.Errorf("column %s of its output: %w", name, err)
		}
		*field = v
	}
	if run.RPS <= 0 {
		return clientRun{}, fmt.Errorf("it reports a rate of %v", run.RPS)
	}
	return run, nil
}

// complaint is the last of what a failed run printed, short enough for one line of a log.
func complaint(stdout, stderr *bytes.Buffer) string {
	text := strings.TrimSpace(strings.TrimSpace(stdout.String()) + " " + strings.TrimSpace(stderr.String()))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 300 {
		text = "... " + text[len(text)-300:]
	}
	return text
}
