package main

import (
	"fmt"
	"slices"
	"strings"
)

// workload is what clients send in one run.
type workload struct {
	Command  string // as `redis-benchmark -t` knows it, in capitals: GET, SET, ...
	Pipeline int    // requests in flight on each connection (-P)
	Clients  int    // connections (-c)
	Requests int    // of the whole run (-n)
	Keyspace int    // keys are drawn from so many (-r)
	Value    int    // bytes of each value (-d)
}

// What is measured unless something else is asked for, and what names leave out.
const (
	usualClients = 50
	usualValue   = 64
	// deepPipeline is where goals change: from here on a proxy's cost is its work for each request, below it
	// is the system calls of each round trip.
	deepPipeline = 16
)

// usualCommands are those that goals are for.
var usualCommands = []string{"GET", "SET"}

// commands are those that can be asked for.
var commands = []string{"GET", "SET", "INCR", "LPUSH", "HSET", "MSET", "ZADD"}

const (
	// mostKeys and mostBytes bound the keyspace of a run, and mostSent what one run sends: with large values
	// there are fewer keys and requests.
	mostKeys  = 100_000
	mostBytes = 64 << 20
	mostSent  = 512 << 20
)

// newWorkload fits the keyspace and the requests of a run to the size of its values. requests is for -P 1; a
// deeper pipeline sends up to eight times as many.
func newWorkload(command string, pipeline, clients, value, requests int) workload {
	sent := requests * min(pipeline, 8)
	if most := mostSent / (value * valuesOf(command)); sent > most {
		sent = most
	}
	return workload{
		Command: command, Pipeline: pipeline, Clients: clients, Value: value,
		Requests: max(sent, 2*clients*pipeline), Keyspace: keyspace(value),
	}
}

// valuesOf is how many values one request carries.
func valuesOf(command string) int {
	if command == "MSET" {
		return 10
	}
	return 1
}

// keyspace is how many keys hold values of a size.
func keyspace(value int) int { return max(min(mostKeys, mostBytes/value), 1) }

// usual reports whether goals are for this workload.
func (w workload) usual() bool {
	return slices.Contains(usualCommands, w.Command) && w.Clients == usualClients && w.Value == usualValue
}

func (w workload) String() string {
	name := fmt.Sprintf("%s -P %d", w.Command, w.Pipeline)
	if w.Clients != usualClients {
		name += fmt.Sprintf(" -c %d", w.Clients)
	}
	if w.Value != usualValue {
		name += " -d " + size(w.Value)
	}
	return name
}

// size is a number of bytes as people say it where it is a round one.
func size(bytes int) string {
	for _, unit := range []struct {
		bytes int
		name  string
	}{{1 << 30, "GB"}, {1 << 20, "MB"}, {1 << 10, "KB"}} {
		if bytes >= unit.bytes && bytes%unit.bytes == 0 {
			return fmt.Sprintf("%d %s", bytes/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%d B", bytes)
}

// The sets of workloads.
const (
	// matrixDefault is GET and SET at three depths, and then one thing changed at a time: another command,
	// more clients, larger values.
	matrixDefault = "default"
	// matrixFull is every combination, on every arrangement: hours.
	matrixFull = "full"
	// matrixChosen is every combination of what was asked for.
	matrixChosen = "chosen"
)

// matrix is what is combined.
type matrix struct {
	Commands  []string `json:"commands"`
	Pipelines []int    `json:"pipelines"`
	Clients   []int    `json:"clients"`
	Values    []int    `json:"value_bytes"`
}

var (
	usualMatrix = matrix{Commands: usualCommands, Pipelines: []int{1, 16, 64}, Clients: []int{usualClients}, Values: []int{usualValue}}
	fullMatrix  = matrix{Commands: commands, Pipelines: []int{1, 16, 64}, Clients: []int{usualClients, 500}, Values: []int{usualValue, 1 << 10, 16 << 10}}
)

// all is every combination, values outermost: servers are filled anew for each size.
func (m matrix) all(requests int) []workload {
	var all []workload
	for _, value := range m.Values {
		for _, clients := range m.Clients {
			for _, pipeline := range m.Pipelines {
				for _, command := range m.Commands {
					all = append(all, newWorkload(command, pipeline, clients, value, requests))
				}
			}
		}
	}
	return all
}

// workloads are the runs of one round, those with values of one size together.
func (o *options) workloads() []workload {
	all := o.Load.all(o.Requests)
	if o.Matrix != matrixDefault {
		return all
	}
	for _, command := range commands {
		if !slices.Contains(usualCommands, command) {
			all = append(all, newWorkload(command, deepPipeline, usualClients, usualValue, o.Requests))
		}
	}
	for _, other := range []struct{ clients, value int }{{500, usualValue}, {usualClients, 1 << 10}, {usualClients, 16 << 10}} {
		for _, command := range usualCommands {
			all = append(all, newWorkload(command, deepPipeline, other.clients, other.value, o.Requests))
		}
	}
	return all
}

// sizes are the different sizes of values, in the order of workloads.
func (o *options) sizes() []int {
	var all []int
	for _, w := range o.workloads() {
		if !slices.Contains(all, w.Value) {
			all = append(all, w.Value)
		}
	}
	return all
}

// core are the arrangements that everything is measured on. The others show what one thing costs, and for that the
// usual workloads are enough.
var core = []string{"direct", "passthrough", "synced", "twemproxy"}

// runsOn reports whether a workload is measured on an arrangement.
func (o *options) runsOn(arrangement string, w workload) bool {
	switch {
	case strings.HasPrefix(arrangement, "application"):
		return w.Command == "SET" && (o.Matrix != matrixDefault || w.usual() && w.Pipeline <= deepPipeline)
	case slices.Contains(core, arrangement) || o.Matrix != matrixDefault:
		return true
	}
	return w.usual() && w.Pipeline <= deepPipeline
}
