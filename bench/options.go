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
// with its two sides, what clients notice of it, and what a load of redis-benchmark does not tell.
var parts = []string{"direct", "passthrough", "tls", "synced", "tracking", "reversed", "twemproxy", "haproxy", "naive",
	"backfill", "bare", "yield", "latency", "busy", "cutover", "memory", "sizes", "cores"}

// arrangementNames are all that a client can reach a server through, in the order of the report.
var arrangementNames = []string{"direct", "passthrough", "tls", "synced", "tracking", "reversed", "twemproxy", "haproxy",
	throughTandem, toBoth}

// loaded are the parts that make arrangements.
var loaded = parts[:9]

// partOf is the part that an arrangement belongs to, where they have not the same name.
func partOf(arrangement string) string {
	if strings.HasPrefix(arrangement, "application") {
		return "naive"
	}
	return arrangement
}

// options is what one benchmark is asked to do.
type options struct {
	Rounds   int      `json:"rounds"`
	Requests int      `json:"requests"` // of a run at -P 1; deeper pipelines send up to eight times as many
	Matrix   string   `json:"matrix"`
	Load     matrix   `json:"load"`
	Keys     int64    `json:"backfill_keys"`
	Only     []string `json:"only"`
	Quick    bool     `json:"quick"`

	judge  bool
	render string // results to print, instead of a benchmark
	into   string // a page to put them into
	out    string
	tandem string // a binary to measure instead of one built from this tree
}

// parseOptions reads the command line. On an error, and for -h, it has already said what is wrong.
func parseOptions(args []string, say io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(say)
	flags.IntVar(&o.Rounds, "rounds", 5, "rounds that count; one more warms up")
	flags.IntVar(&o.Requests, "requests", 80_000, "requests of a run at -P 1; -P n sends min(n, 8) times as many")
	flags.Int64Var(&o.Keys, "keys", 1_000_000, "keys of the backfill")
	flags.StringVar(&o.Matrix, "matrix", matrixDefault, matrixFull+": all of commands, pipelines, clients and values combined, for hours")
	commands := flags.String("commands", "", "of "+strings.Join(commands, ",")+"; with this or one of the next three, all of their combinations are measured")
	pipelines := flags.String("pipelines", "", "depths of pipelining, such as 1,16,64")
	clients := flags.String("clients", "", "numbers of connections, such as 50,500")
	values := flags.String("values", "", "sizes of values in bytes, such as 64,1024,16384")
	only := flags.String("only", "", "measure only these of "+strings.Join(parts, ",")+" (bare: the backfill's yardstick alone)")
	flags.BoolVar(&o.Quick, "quick", false, "small sizes: 3 rounds, 20,000 requests, 100,000 keys; to see that it runs, not to be quoted")
	flags.BoolVar(&o.judge, "judge", false, "exit with 1 if a goal is missed")
	flags.StringVar(&o.out, "out", "", "directory for the report (default bench/results of the project)")
	flags.StringVar(&o.tandem, "tandem", "", "measure this tandem binary (default: one built from this tree)")
	flags.StringVar(&o.render, "render", "", "measure nothing: print the report of these results, a JSON file that was saved")
	flags.StringVar(&o.into, "into", "", "with --render: put the report into this page, between its lines for figures")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.Quick {
		given := make(map[string]bool)
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		for name, small := range map[string]string{"rounds": "3", "requests": "20000", "keys": "100000"} {
			if !given[name] {
				flags.Set(name, small)
			}
		}
	}
	err := errors.Join(o.setMatrix(*commands, *pipelines, *clients, *values), o.setOnly(*only), o.check(flags.Args()))
	if err != nil {
		fmt.Fprintln(say, err)
	}
	return o, err
}

// setMatrix decides what is combined. A list that was not given is the usual one.
func (o *options) setMatrix(names, pipelines, clients, values string) error {
	switch o.Matrix {
	case matrixDefault:
		o.Load = usualMatrix
	case matrixFull:
		o.Load = fullMatrix
	default:
		return fmt.Errorf("--matrix %s: it is %s or %s", o.Matrix, matrixDefault, matrixFull)
	}
	if names != "" {
		o.Matrix, o.Load.Commands = matrixChosen, strings.Split(strings.ToUpper(names), ",")
		for _, name := range o.Load.Commands {
			if !slices.Contains(commands, name) {
				return fmt.Errorf("--commands %s: %q is none of %s", names, name, strings.Join(commands, ", "))
			}
		}
	}
	for _, list := range []struct {
		flag, given string
		into        *[]int
	}{{"pipelines", pipelines, &o.Load.Pipelines}, {"clients", clients, &o.Load.Clients}, {"values", values, &o.Load.Values}} {
		if list.given == "" {
			continue
		}
		o.Matrix, *list.into = matrixChosen, nil
		for field := range strings.SplitSeq(list.given, ",") {
			n, err := strconv.Atoi(field)
			if err != nil || n < 1 {
				return fmt.Errorf("--%s %s: %q is not a number of them", list.flag, list.given, field)
			}
			*list.into = append(*list.into, n)
		}
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
	case o.into != "" && o.render == "":
		return errors.New("--into needs --render")
	case o.Rounds < 1 || o.Requests < 1000 || o.Keys < 1000:
		return errors.New("at least 1 round, 1000 requests and 1000 keys are needed")
	}
	return nil
}

// has reports whether a part was asked for.
func (o *options) has(part string) bool { return slices.Contains(o.Only, part) }

// hasAny reports whether one of the parts was asked for.
func (o *options) hasAny(parts ...string) bool { return slices.ContainsFunc(parts, o.has) }
