package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"
)

func newMigrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Copy, verify and end by itself",
		Long: `Move the keyspace once: precheck, copy, compare all keys, copy again what differs, and end. The exit status is 0 only
if a comparison of all keys has found both servers equal, and 4 if they were not equal after --for. Keys that are kept
on the target are left out of it. Interrupted, it goes on where it was when it is run again on the same state
directory.

It listens, and opens the admin address, only if --listen or --admin is given. Who writes to the source meanwhile, and
does not come through --listen, is followed where the server reports changed keys (tracking); else what was changed
shows in the comparison, and is copied again. There is no cutover: stop the writers, run it, and start them at the
target.

With --dry-run it says what it would do, after a precheck, which writes and removes one scratch key on both servers.
Nothing else is written.`,
		Example: `  tandem migrate --source redis://old:6379 --target redis://new:6379
  tandem migrate --dry-run -c tandem.yaml`,
		Args: noArguments,
	}
	settings := addSettings(cmd, serveFlags)
	settings.addTakeover(cmd)
	var o migrateOptions
	asJSON := addJSON(cmd, "print what came of it as one JSON object; with --dry-run, what would be done")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would be done, and do nothing")
	cmd.Flags().DurationVar(&o.follow, "for", 10*time.Minute, "compare and copy again for this `TIME` at most, while keys differ")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.follow < 0 {
			return &usageError{errors.New("--for is negative: give a time such as 10m")}
		}
		c, err := settings.load()
		if err != nil {
			return err
		}
		if !cmd.Flags().Changed("listen") {
			c.Listen = ""
		}
		if c.ListenTarget != "" {
			return &usageError{errors.New("listen_target is for tandem serve: a one-time migration has no clients on both servers")}
		}
		o.json = *asJSON
		o.admin = cmd.Flags().Changed("admin")
		c.Start = "manual"
		o.stdout, o.stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
		if o.dryRun {
			return runDryMigrate(cmd.Context(), c, o)
		}
		return runMigrate(cmd.Context(), c, o)
	}
	return cmd
}
