package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"tandem/config"
	"tandem/internal/instance"
	"tandem/internal/precheck"
)

func newPrecheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "precheck",
		Short: "Tell whether a migration between two servers can start",
		Long: `Try what a migration will do on both servers, and say for each item what was found, why it matters and what
to do. Nothing is changed; the exit status is 3 if an item failed, and 0 with warnings.`,
		Example: `  tandem precheck --source redis://old:6379 --target redis://new:6379`,
		Args:    noArguments,
	}
	settings := addSettings(cmd, instanceFlags)
	asJSON := cmd.Flags().Bool("json", false, "print the report as one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := settings.load()
		if err != nil {
			return err
		}
		return runPrecheck(cmd.Context(), c, newLogger(cmd.ErrOrStderr(), c.Log), *asJSON, cmd.OutOrStdout())
	}
	return cmd
}

func runPrecheck(ctx context.Context, c *config.Config, log *slog.Logger, asJSON bool, stdout io.Writer) error {
	source, err := newInstance(instance.Source, c.Source, log)
	if err != nil {
		return err
	}
	target, err := newInstance(instance.Target, c.Target, log)
	if err != nil {
		return err
	}
	report, err := precheck.Run(ctx, source, target, precheck.Options{OwnUsers: c.Auth.Mode != "server"})
	if err != nil {
		return err
	}
	if asJSON {
		err = json.NewEncoder(stdout).Encode(report)
	} else {
		err = report.WriteTable(stdout, isTerminal(stdout) && os.Getenv("NO_COLOR") == "")
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if report.Result == precheck.Failed {
		return fmt.Errorf("%w: %w", errRefused, errSaid)
	}
	return nil
}
