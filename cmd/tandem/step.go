package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/admin"
	"tandem/internal/demo/text"
	"tandem/internal/status"
	"tandem/internal/terminal"
)

// step is one of the commands that move a migration on.
type step struct {
	name, short, long string
	// waiting is said while the step is taken; done is what it then is.
	waiting, done string
}

var steps = []step{
	{
		name:    "start",
		short:   "Start the backfill",
		long:    "Run the precheck and start the backfill. It goes on by itself; see tandem status --watch.",
		waiting: "start: running the precheck",
		done:    "The backfill has been started before.",
	},
	{
		name:    "pause",
		short:   "Pause the backfill",
		long:    "Pause the backfill. Writes go on reaching both servers.",
		waiting: "pause: letting copies in flight end",
		done:    "The backfill is paused.",
	},
	{
		name:    "resume",
		short:   "Resume the backfill",
		long:    "Resume a paused backfill where it was.",
		waiting: "resume: starting the copies again",
		done:    "The backfill goes on.",
	},
	{
		name:  "cutover",
		short: "Let the target answer",
		long: `Let the target answer, and keep the source equal. Clients' commands are held for a moment; a cutover that
would hold them longer than cutover.max_pause is undone, as if never asked for.

With --at or --when-ready it comes by itself, once nothing stands in its way; tandem status shows it, --cancel takes it
back, and a restart of serve does not forget it. It is given up when it could not be done --within its time.`,
		waiting: "cutover: waiting for a moment that can be drained",
		done:    "The target answers now; the source is kept equal.",
	},
	{
		name:    "rollback",
		short:   "Let the source answer again",
		long:    "Let the source answer again after a cutover. It has every write that was acknowledged since.",
		waiting: "rollback: waiting for a moment that can be drained",
		done:    "The source answers again; the target is kept equal.",
	},
	{
		name:    "finish",
		short:   "End the writes to the source",
		long:    "End the writes to the source, for good: the target alone is served, and a rollback is no longer possible.",
		waiting: "finish: settling the last writes",
		done:    "The migration is finished: the target alone is served.",
	},
}

func newStepCommands() []*cobra.Command {
	var list []*cobra.Command
	for _, s := range steps {
		list = append(list, s.command())
	}
	return list
}

func (s step) command() *cobra.Command {
	cmd := &cobra.Command{Use: s.name, Short: s.short, Long: s.long, Args: noArguments}
	remote := addRemote(cmd)
	asJSON := addJSON(cmd, "print what came of it as JSON")
	var o admin.StepOptions
	cmd.Flags().StringVar(&o.Force, "force", "", "go ahead in spite of the blocker `NAME`; for cutover, several with commas in between")
	var plan plan
	if s.name == "cutover" {
		plan.addFlags(cmd.Flags())
	}
	var wait bool
	switch s.name {
	case "start", "resume":
		cmd.Flags().BoolVar(&wait, "wait", false, "stay until the phase is synced, and show how far it is")
	case "cutover":
		cmd.Flags().BoolVar(&wait, "wait", false, "with --at or --when-ready: stay until it is done or given up, and show how it stands")
	}
	if s.name == "start" {
		cmd.Flags().StringSliceVar(&o.Accept, "accept", nil, "take the warnings `NAMES` of the precheck as they are")
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := plan.into(&o, time.Now()); err != nil {
			return &usageError{err}
		}
		if wait && s.name == "cutover" && !o.Plans() {
			return &usageError{errors.New("--wait belongs to --at or --when-ready: without them a cutover is done when the command ends")}
		}
		client, err := remote.client()
		if err != nil {
			return err
		}
		defer client.Close()
		return s.run(cmd.Context(), client, o, stepOutput{wait: wait, json: *asJSON, stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr()})
	}
	return cmd
}

// taken is what came of a step, as --json has it.
type taken struct {
	Step    string  `json:"step"`
	Phase   string  `json:"phase"`    // afterwards; empty for a start, which goes on by itself
	ID      string  `json:"id"`       // of the sweep that was started
	PauseMs float64 `json:"pause_ms"` // how long clients' commands were held
	Planned bool    `json:"planned"`  // it will come by itself
	Next    string  `json:"next"`
}

// stepOutput is how a step tells what has come of it.
type stepOutput struct {
	wait, json     bool
	stdout, stderr io.Writer
}

// run takes the step and says what came of it on stdout; what goes on meanwhile is said on stderr.
func (s step) run(ctx context.Context, client *admin.Client, o admin.StepOptions, out stepOutput) error {
	stdout := out.stdout
	p := terminal.NewProgress(out.stderr)
	p.Show(terminal.Stage{Text: s.waiting})
	result, id, err := client.Step(ctx, s.name, o)
	p.Clear()
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: interrupted: tandem status says how it stands", s.name)
	case err != nil:
		return fmt.Errorf("%s: %w", s.name, err)
	case out.wait:
		reached := untilSynced
		if s.name == "cutover" {
			reached = untilCutOver()
		}
		now, err := follow(ctx, client, p, reached)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		result.Phase, result.Planned = now.Phase, false
		if s.name == "cutover" {
			pause, _ := now.Cutover.LastPauseMs.Get()
			result.Pause = time.Duration(pause * float64(time.Millisecond))
		}
		if !out.json && s.name != "cutover" {
			_, err := fmt.Fprintf(stdout, "The phase is %s: %s.\nNext: %s\n", now.Phase, now.Meaning(), now.Next())
			return err
		}
	}
	switch {
	case out.json:
		return writeJSON(stdout, taken{Step: s.name, Phase: result.Phase, ID: id, PauseMs: float64(result.Pause.Microseconds()) / 1000, Planned: result.Planned,
			Next: status.NextIn(result.Phase, s.name == "pause", true)})
	case id != "":
		fmt.Fprintf(stdout, "The backfill has started (%s).\nNext: tandem status --watch\n", id)
		return nil
	}
	switch {
	case result.Planned:
		fmt.Fprintln(stdout, "The cutover is planned.\nNext: tandem status shows how it stands; tandem cutover --cancel takes it back")
		return nil
	case o.Cancel:
		fmt.Fprintln(stdout, "The planned cutover was taken back.")
		return nil
	}
	fmt.Fprintln(stdout, s.done)
	if result.Pause > 0 {
		fmt.Fprintf(stdout, "Clients waited %s.\n", text.Duration(result.Pause))
	}
	if hint := status.NextIn(result.Phase, s.name == "pause", true); hint != "" {
		fmt.Fprintf(stdout, "Next: %s\n", hint)
	}
	return nil
}

// writeBlockers lists blockers, each with its remedy below.
func writeBlockers(w io.Writer, blockers []status.Blocker) {
	width := 0
	for _, b := range blockers {
		width = max(width, len(b.Code))
	}
	for _, b := range blockers {
		fmt.Fprintf(w, "  %-*s  %s\n", width, b.Code, terminal.OneLine(b.Message))
		if b.Remedy != "" {
			fmt.Fprintf(w, "  %-*s  -> %s\n", width, "", terminal.OneLine(b.Remedy))
		}
	}
}
