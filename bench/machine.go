package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine is where figures come from, for whoever compares them with others.
type machine struct {
	CPU      string   `json:"cpu"`
	Cores    int      `json:"cores"`
	Kernel   string   `json:"kernel"`
	Load     string   `json:"load_average_before"`
	Programs []string `json:"programs"`
	Commit   string   `json:"commit"`
}

// describeMachine asks what can be asked; what cannot be found out is empty and does not fail a benchmark.
func describeMachine(ctx context.Context, root string) machine {
	m := machine{
		CPU: fieldOf("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(),
		Kernel: firstLine("/proc/sys/kernel/osrelease"), Load: firstLine("/proc/loadavg"),
		Programs: []string{runtime.Version()},
	}
	nutcracker, _ := nutcrackerPath()
	haproxy, _ := haproxyPath()
	for _, program := range [][]string{{"redis-server", "--version"}, {"redis-benchmark", "--version"}, {nutcracker, "-V"}, {haproxy, "-v"}} {
		if program[0] == "" {
			continue
		}
		// nutcracker exits with 1 after saying its version.
		out, _ := exec.CommandContext(ctx, program[0], program[1:]...).CombinedOutput()
		line, _, _ := strings.Cut(string(out), "\n")
		if fields := strings.Fields(line); len(fields) > 5 {
			line = strings.Join(fields[:3], " ")
		}
		m.Programs = append(m.Programs, line)
	}
	describe := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12")
	describe.Dir = root
	if out, err := describe.Output(); err == nil {
		m.Commit = strings.TrimSpace(string(out))
	}
	return m
}

func (m machine) markdown(w io.Writer) {
	fmt.Fprintf(w, "- %s, %d cores shared by both servers, the proxy and the client; Linux %s; load before: %s\n",
		m.CPU, m.Cores, m.Kernel, m.Load)
	fmt.Fprintf(w, "- %s; tandem at %s\n", strings.Join(m.Programs, "; "), m.Commit)
	if m.busy() {
		fmt.Fprintf(w, "- **the machine was busy with something else before**: rates are low, and ratios waver more than they should\n")
	}
}

// busy reports whether others used half a core or more for each core, over the minute before.
func (m machine) busy() bool {
	var load float64
	_, err := fmt.Sscanf(m.Load, "%f", &load)
	return err == nil && load >= float64(m.Cores)/2
}

func firstLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}

// fieldOf is the first value of a "name : value" file.
func fieldOf(path, name string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
