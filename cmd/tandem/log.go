package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"tandem/internal/admin"
)

func newLogCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Show or change how much the running tandem logs",
		Long: `Show the least important level that the running tandem logs, or change it. A change counts until a restart, or until
another log.level is read by reload. Lines of level AUDIT, which say who did what, are always there.`,
		Example: `  tandem log --level debug`,
		Args:    noArguments,
	}
	remote := addRemote(cmd)
	level := cmd.Flags().String("level", "", "log from `LEVEL` on: debug, info, warn or error")
	asJSON := cmd.Flags().Bool("json", false, "print the level as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := remote.client()
		if err != nil {
			return err
		}
		defer client.Close()
		now, err := client.LogLevel(cmd.Context(), *level)
		if err != nil {
			return fmt.Errorf("log: %w", err)
		}
		if *asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(admin.LogLevel{Level: now})
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), now)
		return err
	}
	return cmd
}
