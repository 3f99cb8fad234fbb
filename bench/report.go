package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tandem/internal/demo/text"
)

// report is one benchmark as it is saved.
type report struct {
	Started  time.Time `json:"started"`
	TookS    float64   `json:"took_s"`
	Machine  machine   `json:"machine"`
	Options  options   `json:"options"`
	Verdicts []verdict `json:"verdicts"`
	// Incomplete says why not everything was measured; empty if it was.
	Incomplete string `json:"incomplete,omitempty"`
	results

	// pictures is what the paths of the charts begin with, as links from the Markdown; empty for none.
	pictures string
}

// save writes the report as JSON, as Markdown and its charts as SVG, named by the time it was started, and the first two
// again as latest.json and latest.md. It returns the Markdown's path.
func (r *report) save(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("directory for the report: %w", err)
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", fmt.Errorf("writing the report: %w", err)
	}
	name := r.Started.UTC().Format("2006-01-02T150405Z")
	if err := r.draw(dir, name); err != nil {
		return "", err
	}
	r.pictures = name
	var text strings.Builder
	r.markdown(&text)
	for _, file := range []struct {
		name string
		data []byte
	}{
		{name + ".json", data}, {name + ".md", []byte(text.String())},
		{"latest.json", data}, {"latest.md", []byte(text.String())},
	} {
		if err := os.WriteFile(filepath.Join(dir, file.name), file.data, 0o644); err != nil {
			return "", fmt.Errorf("writing the report: %w", err)
		}
	}
	return filepath.Join(dir, name+".md"), nil
}

// markdown prints the report for a reader.
func (r *report) markdown(w io.Writer) {
	fmt.Fprintf(w, "# Tandem benchmark, %s\n\n", r.Started.UTC().Format("2006-01-02 15:04 UTC"))
	if r.Incomplete != "" {
		reason, _, _ := strings.Cut(r.Incomplete, "\n")
		fmt.Fprintf(w, "**Incomplete: %s**\n\n", reason)
	}
	r.Machine.markdown(w)
	fmt.Fprintf(w, "- %d rounds after a warm-up, each measuring all arrangements in turn, each round beginning with another\n", r.Options.Rounds)
	fmt.Fprintf(w, "- redis-benchmark: %d connections and %d-byte values where nothing else is said, %s keys (fewer of large values), "+
		"%s requests at -P 1 and up to 8 times as many above\n",
		usualClients, usualValue, text.Count(mostKeys), text.Count(r.Options.Requests))
	fmt.Fprintf(w, "- figures are medians; spread is largest minus smallest in percent of the median\n")
	fmt.Fprintf(w, "- CPU is µs per request (user and system time, to 10 ms a run) of each process\n")
	fmt.Fprintf(w, "- took %s\n\n", time.Duration(r.TookS*float64(time.Second)).Round(time.Second))
	r.writeDiscarded(w)
	r.writeVerdicts(w)
	if r.pictures != "" {
		for _, c := range r.charts() {
			fmt.Fprintf(w, "![%s](%s-%s.svg)\n\n", c.title, r.pictures, c.name)
		}
	}
	for _, load := range r.Options.workloads() {
		r.writeLoad(w, load)
	}
	r.writeBackfill(w)
	r.writeYield(w)
	for _, s := range sections {
		r.writeSection(w, s)
	}
}

// writeDiscarded comes first: who reads figures should know which are missing.
func (r *report) writeDiscarded(w io.Writer) {
	if len(r.Discarded) == 0 {
		return
	}
	fmt.Fprintf(w, "## Discarded runs: %d\n\n", len(r.Discarded))
	t := table{header: []string{"what", "round", "reason"}, words: 3}
	for _, d := range r.Discarded {
		reason, _, _ := strings.Cut(d.Reason, "\n")
		t.add(d.What, fmt.Sprint(d.Round), reason)
	}
	t.write(w)
}

func (r *report) writeVerdicts(w io.Writer) {
	if len(r.Verdicts) == 0 {
		return
	}
	fmt.Fprintf(w, "## Goals\n\nThe median of the ratios of each round, which are neighbours in time.\n\n")
	t := table{header: []string{"what", "verdict", "found", "goal", "lowest", "highest"}, words: 2}
	for _, v := range r.Verdicts {
		if !v.Found.known() {
			t.add(v.What, v.Verdict, "-", v.Goal, "-", "-")
			continue
		}
		t.add(v.What, v.Verdict, fmt.Sprintf("%.2f", v.Found.Median), v.Goal,
			fmt.Sprintf("%.2f", v.Found.Min), fmt.Sprintf("%.2f", v.Found.Max))
	}
	t.write(w)
}

func (r *report) writeLoad(w io.Writer, load workload) {
	t := table{words: 1, header: []string{"arrangement", "requests/s", "spread", "settled after ms", "p50 ms", "p99 ms",
		"CPU proxy", "source", "target", "client"}}
	for _, arrangement := range arrangementNames {
		pick := func(of func(sample) float64) figure {
			return inOrder(r.series(arrangement, load, of))
		}
		rates := pick(rateOf)
		if !rates.known() {
			continue
		}
		row := []string{arrangement, text.Count(rates.Median), fmt.Sprintf("%.0f %%", rates.spread()),
			fmt.Sprintf("%.0f", pick(func(s sample) float64 { return s.SettleMs }).Median),
			fmt.Sprintf("%.3f", pick(func(s sample) float64 { return s.P50Ms }).Median),
			fmt.Sprintf("%.3f", pick(func(s sample) float64 { return s.P99Ms }).Median)}
		for _, role := range []string{"proxy", "source", "target", "client"} {
			used := pick(func(s sample) float64 { return s.CPU[role] }).Median
			row = append(row, cpuCell(used, 2))
		}
		t.add(row...)
	}
	if len(t.rows) > 0 {
		fmt.Fprintf(w, "## %s\n\n", load)
		t.write(w)
	}
}

// writeBackfill prints a table for each size of values that was copied.
func (r *report) writeBackfill(w io.Writer) {
	for _, kind := range r.backfills() {
		t := table{words: 1, header: []string{"backfill", kind.unit, "spread", "seconds", "CPU copier", "source", "target"}}
		for _, how := range waysOfBackfill {
			pick := func(of func(backfillSample) float64) figure { return inOrder(r.backfillSeries(how, kind.value, of)) }
			rates := pick(kind.pick)
			if !rates.known() {
				continue
			}
			row := []string{how, text.Count(rates.Median), fmt.Sprintf("%.0f %%", rates.spread()),
				fmt.Sprintf("%.2f", pick(func(s backfillSample) float64 { return s.Seconds }).Median)}
			for _, role := range []string{"copier", "source", "target"} {
				row = append(row, cpuCell(pick(func(s backfillSample) float64 { return s.CPU[role] }).Median, 2))
			}
			t.add(row...)
		}
		fmt.Fprintf(w, "## Backfill of %s keys, %d-byte values, no load\n\n", text.Count(kind.keys), kind.value)
		fmt.Fprintf(w, "CPU is µs per key. ")
		if kind.value < bigValue {
			fmt.Fprintf(w, "The bare loop has %d workers, pages of %d keys, and none of tandem's guarantees.\n\n", bareWorkers, scanCount)
		} else {
			fmt.Fprintf(w, "The plain copy has one connection to each server and hands on what GET answers as the value of a SET while it arrives.\n\n")
		}
		t.write(w)
	}
}

// cpuCell leaves the cell of a process that takes no part empty.
func cpuCell(us float64, digits int) string {
	if us == 0 {
		return ""
	}
	return fmt.Sprintf("%.*f", digits, us)
}
