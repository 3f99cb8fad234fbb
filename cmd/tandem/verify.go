package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/admin"
	"tandem/internal/demo/text"
	"tandem/internal/status"
	"tandem/internal/terminal"
)

// verifyInterval is how often a running verify is asked for what it has found.
const verifyInterval = 300 * time.Millisecond

func newVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compare both keyspaces while clients write",
		Long: `Compare both servers' keys, both ways, on live data, and list what differs: on stdout, one line per key; with
--json, one JSON object per line. Progress goes to stderr. The exit status is 4 if anything differs, repaired
or not. One that a restart of tandem interrupts goes on by itself.`,
		Args: noArguments,
	}
	cmd.AddCommand(newLeadVerifyCommands()...)
	remote := addRemote(cmd)
	var v verification
	cmd.Flags().StringVar(&v.options.Mode, "mode", admin.VerifyFull, "what to compare, as `MODE`: full, sample (some keys) or keys (only which there are)")
	cmd.Flags().BoolVar(&v.options.Repair, "repair", false, "copy again the keys that differ")
	cmd.Flags().BoolVar(&v.json, "json", false, "print the differences as JSON lines")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch v.options.Mode {
		case admin.VerifyFull, admin.VerifySample, admin.VerifyKeys:
		default:
			return &usageError{fmt.Errorf("--mode is %q: use full, sample or keys", v.options.Mode)}
		}
		client, err := remote.client()
		if err != nil {
			return err
		}
		defer client.Close()
		v.client, v.stdout, v.stderr = client, cmd.OutOrStdout(), cmd.ErrOrStderr()
		v.progress = terminal.NewProgress(v.stderr)
		return v.run(cmd.Context())
	}
	return cmd
}

// verification is one verify as the command line follows it.
type verification struct {
	client         *admin.Client
	options        admin.VerifyOptions
	json           bool
	stdout, stderr io.Writer
	progress       *terminal.Progress
	listed         int // differences printed
}

// run starts a verify and follows it to its end.
func (v *verification) run(ctx context.Context) error {
	id, err := v.client.Verify(ctx, v.options)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	tick := time.NewTicker(verifyInterval)
	defer tick.Stop()
	for ended := false; ; {
		summary, err := v.client.VerifyResults(ctx, id, v.listed, v.print)
		switch {
		case errors.Is(err, context.Canceled):
			v.progress.Clear()
			return errors.New("verify: interrupted: it goes on by itself; tandem status shows it, tandem verify cancel ends it")
		case errors.Is(err, admin.ErrUnknownVerify):
			v.progress.Clear()
			return errors.New("verify: tandem knows nothing of it any more: was it restarted? Run verify again")
		case err != nil:
			v.progress.Clear()
			return fmt.Errorf("verify: %w", err)
		case ended:
			v.progress.Clear()
			return v.conclude(summary)
		case summary.State == status.Done || summary.State == status.Failed:
			// It may have ended between the last difference that was sent and the summary: ask once more.
			ended = true
			continue
		}
		v.progress.Show(verifyStage(summary))
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// print writes one difference.
func (v *verification) print(d status.Difference) error {
	v.progress.Clear()
	v.listed++
	if v.json {
		return json.NewEncoder(v.stdout).Encode(d)
	}
	_, err := fmt.Fprintf(v.stdout, "db %d  %s  %s  %s\n", d.DB, strconv.Quote(string(d.Key)), d.Kind, d.Detail)
	return err
}

// conclude says how a verify that has ended went.
func (v *verification) conclude(s status.VerifySummary) error {
	if s.State != status.Done {
		return fmt.Errorf("verify: %s after %s keys: %s", s.State, text.Count(s.Compared), s.Error)
	}
	if s.Different > s.Listed {
		fmt.Fprintf(v.stderr, "Only the first %s differences are listed.\n", text.Count(s.Listed))
	}
	fmt.Fprintf(v.stderr, "%s.\n", s.Text())
	if s.File != "" {
		fmt.Fprintf(v.stderr, "They are listed in %s, too, on Tandem's machine.\n", s.File)
	}
	switch {
	case s.Different == 0:
		return nil
	case s.Repair:
		fmt.Fprintln(v.stderr, "The keys that differ are copied again. Next: tandem verify")
	default:
		fmt.Fprintln(v.stderr, "Next: tandem verify --repair")
	}
	return fmt.Errorf("%w: %w", errDifferent, errSaid)
}

// verifyStage is how far a verify is.
func verifyStage(s status.VerifySummary) terminal.Stage {
	return terminal.Stage{Name: "verify", Percent: s.Percent,
		Text: fmt.Sprintf("%s keys compared, %s different", text.Count(s.Compared), text.Count(s.Different))}
}
