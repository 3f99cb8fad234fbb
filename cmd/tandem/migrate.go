package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newMigrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Copy, verify and end by itself (not in this version)",
		Long: `Move the keyspace once: copy, verify, and end by itself. Not available in this version; tandem serve does the
same in steps: serve, verify, cutover, finish.`,
		Args: noArguments,
	}
	addSettings(cmd, serveFlags)
	cmd.Flags().Bool("dry-run", false, "check, and change nothing")
	cmd.RunE = func(*cobra.Command, []string) error {
		return &usageError{errors.New("migrate is not available in this version: use tandem serve, then verify, cutover and finish")}
	}
	return cmd
}
