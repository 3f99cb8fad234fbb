package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tandem/internal/admin"
	"tandem/internal/demo/text"
	"tandem/internal/status"
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
would hold them longer than cutover.max_pause is undone, as if never asked for.`,
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
	var o admin.StepOptions
	cmd.Flags().StringVar(&o.Force, "force", "", "go ahead in spite of the blocker `NAME`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := remote.client()
		if err != nil {
			return err
		}
		defer client.Close()
		return s.run(cmd.Context(), client, o, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// run takes the step and says what came of it on stdout; what goes on meanwhile is said on stderr.
func (s step) run(ctx context.Context, client *admin.Client, o admin.StepOptions, stdout, stderr io.Writer) error {
	p := newProgress(stderr)
	p.show(s.waiting)
	result, id, err := client.Step(ctx, s.name, o)
	p.clear()
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: interrupted: tandem status says how it stands", s.name)
	case err != nil:
		return fmt.Errorf("%s: %w", s.name, err)
	case id != "":
		fmt.Fprintf(stdout, "The backfill has started (%s).\nNext: tandem status --watch\n", id)
		return nil
	}
	fmt.Fprintln(stdout, s.done)
	if result.Pause > 0 {
		fmt.Fprintf(stdout, "Clients waited %s.\n", text.Duration(result.Pause))
	}
	if hint := next(result.Phase, s.name == "pause", true); hint != "" {
		fmt.Fprintf(stdout, "Next: %s\n", hint)
	}
	return nil
}

// next says what a user does next in a phase. Ready means that nothing is known to block a cutover.
func next(phase string, paused, ready bool) string {
	switch {
	case phase == status.Passthrough:
		return "tandem start"
	case phase == status.Backfill && paused:
		return "tandem resume"
	case phase == status.Backfill:
		return "wait for the phase synced: tandem status --watch"
	case phase == status.Synced && ready:
		return "tandem verify, then tandem cutover"
	case phase == status.Synced:
		return "remove what blocks the cutover"
	case phase == status.Reversed:
		return "tandem verify; then tandem finish, or tandem rollback to go back"
	case phase == status.Finished:
		return "point the application at the target itself, then end tandem"
	}
	return ""
}

// writeBlockers lists blockers, each with its remedy below.
func writeBlockers(w io.Writer, blockers []status.Blocker) {
	width := 0
	for _, b := range blockers {
		width = max(width, len(b.Code))
	}
	for _, b := range blockers {
		fmt.Fprintf(w, "  %-*s  %s\n", width, b.Code, b.Message)
		if b.Remedy != "" {
			fmt.Fprintf(w, "  %-*s  -> %s\n", width, "", b.Remedy)
		}
	}
}
