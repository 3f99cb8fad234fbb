package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"tandem/config"
	"tandem/internal/instance"
	"tandem/internal/precheck"
	"tandem/internal/status"
	"tandem/internal/terminal"
	"tandem/migration"
)

func newPrecheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "precheck",
		Short: "Tell whether a migration between two servers can start",
		Long: `Try what a migration will do on both servers, and say for each item what was found, why it matters and what
to do. On both servers one scratch key is written and removed, and nothing else is changed. The exit status is 3 if
an item failed, and 0 with warnings.`,
		Example: `  tandem precheck --source redis://old:6379 --target redis://new:6379`,
		Args:    noArguments,
	}
	settings := addSettings(cmd, append([]settingFlag{
		{"state-dir", "state_dir", "`DIR` that is to hold what must survive a restart"}, acceptFlag}, instanceFlags...))
	asJSON := cmd.Flags().Bool("json", false, "print the report as one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := settings.load()
		if err != nil {
			return err
		}
		return runPrecheck(cmd.Context(), c, newLogger(cmd.ErrOrStderr(), c.Log), *asJSON, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

func runPrecheck(ctx context.Context, c *config.Config, log *slog.Logger, asJSON bool, stdout, stderr io.Writer) error {
	source, err := newInstance(instance.Source, c.Source, log)
	if err != nil {
		return err
	}
	target, err := newInstance(instance.Target, c.Target, log)
	if err != nil {
		return err
	}
	target.Renumber(c.Numbers())
	options := migration.PrecheckOptions(c)
	options.Duplicates = migration.LookAtDuplicates(c, source, target, log)
	report, err := precheckWithProgress(ctx, source, target, options, terminal.NewProgress(stderr))
	if err != nil {
		return err
	}
	if asJSON {
		err = json.NewEncoder(stdout).Encode(report)
	} else {
		err = report.WriteTable(stdout, terminal.LookOf(stdout).Color)
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if report.Result == precheck.Failed {
		return fmt.Errorf("%w: %w", errRefused, errSaid)
	}
	return nil
}

// precheckWithProgress makes a precheck and shows how far it is, if somebody is looking: it takes a second or two, and
// longer where a server does not answer.
func precheckWithProgress(ctx context.Context, source, target *instance.Instance, o precheck.Options, progress *terminal.Progress) (*precheck.Report, error) {
	if progress.Live() {
		o.Tell = func(name string, made, all int) {
			progress.Show(terminal.Stage{Name: "precheck", Percent: status.Known(100 * float64(made) / float64(all)), Text: strings.ReplaceAll(name, "_", " ")})
		}
		defer progress.Clear()
	}
	return precheck.Run(ctx, source, target, o)
}
