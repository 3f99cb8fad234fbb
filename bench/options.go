package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// parts are the names that --only takes: the arrangements, in the order of the report, and the backfill
// with its two sides.
var parts = []string{"direct", "passthrough", "synced", "twemproxy", "backfill", "bare"}

// options is what one benchmark is asked to do.
type options struct {
	Rounds    int      `json:"rounds"`
	Requests  int      `json:"requests"` // of a run at -P 1; deeper pipelines send up to eight times as many
	Pipelines []int    `json:"pipelines"`
	Clients   int      `json:"clients"`
	Keyspace  int      `json:"keyspace"`
	Value     int      `json:"value_bytes"`
	Keys      int64    `json:"backfill_keys"`
	Only      []string `json:"only"`

	judge  bool
	out    string
	tandem string // a binary to measure instead of one built from this tree
}

// parseOptions reads the command line. On an error, and for -h, it has already said what is wrong.
func parseOptions(args []string, say io.Writer) (options, error) {
	o := options{Clients: 50, Keyspace: 100_000, Value: 64}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(say)
	flags.IntVar(&o.Rounds, "rounds", 5, "rounds that count; one more warms up")
	flags.IntVar(&o.Requests, "requests", 200_000, "requests of a run at -P 1; -P n sends min(n, 8) times as many")
	flags.Int64Var(&o.Keys, "keys", 1_000_000, "keys of the backfill")
	pipelines := flags.String("pipelines", "1,16", "depths of pipelining")
	only := flags.String("only", "", "measure only these of "+strings.Join(parts, ",")+" (bare: the backfill's yardstick alone)")
	quick := flags.Bool("quick", false, "small sizes: 3 rounds, 50,000 requests, 100,000 keys; to see that it runs, not to be quoted")
	flags.BoolVar(&o.judge, "judge", false, "exit with 1 if a goal is missed")
	flags.StringVar(&o.out, "out", "", "directory for the report (default bench/results of the project)")
	flags.StringVar(&o.tandem, "tandem", "", "measure this tandem binary (default: one built from this tree)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if *quick {
		given := make(map[string]bool)
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		for name, small := range map[string]string{"rounds": "3", "requests": "50000", "keys": "100000"} {
			if !given[name] {
				flags.Set(name, small)
			}
		}
	}
	err := errors.Join(o.setPipelines(*pipelines), o.setOnly(*only), o.check(flags.Args()))
	if err != nil {
		fmt.Fprintln(say, err)
	}
	return o, err
}

func (o *options) setPipelines(list string) error {
	for field := range strings.SplitSeq(list, ",") {
		p, err := strconv.Atoi(field)
		if err != nil || p < 1 {
			return fmt.Errorf("--pipelines %s: %q is not a depth", list, field)
		}
		o.Pipelines = append(o.Pipelines, p)
	}
	return nil
}

func (o *options) setOnly(list string) error {
	if list == "" {
		o.Only = slices.Clone(parts)
		return nil
	}
	for field := range strings.SplitSeq(list, ",") {
		if !slices.Contains(parts, field) {
			return fmt.Errorf("--only %s: %q is none of %s", list, field, strings.Join(parts, ", "))
		}
		o.Only = append(o.Only, field)
	}
	return nil
}

func (o *options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case o.Rounds < 1 || o.Requests < 1000 || o.Keys < 1000:
		return errors.New("at least 1 round, 1000 requests and 1000 keys are needed")
	}
	return nil
}

// has reports whether a part was asked for.
func (o *options) has(part string) bool { return slices.Contains(o.Only, part) }

// hasAny reports whether one of the parts was asked for.
func (o *options) hasAny(parts ...string) bool { return slices.ContainsFunc(parts, o.has) }

// workloads are the runs of one round on each arrangement.
func (o *options) workloads() []workload {
	var all []workload
	for _, p := range o.Pipelines {
		for _, command := range []string{"GET", "SET"} {
			all = append(all, workload{
				Command: command, Pipeline: p, Clients: o.Clients, Requests: o.Requests * min(p, 8),
				Keyspace: o.Keyspace, Value: o.Value,
			})
		}
	}
	return all
}
