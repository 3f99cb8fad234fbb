package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// The groups of the help text, in the order in which a migration needs them.
const (
	groupRun   = "run"
	groupSteps = "steps"
	groupLook  = "look"
)

// newRootCommand is the command line: every subcommand, each from its own file.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "tandem",
		Short: "Move a live Redis or Valkey keyspace to another server without downtime",
		Long: `Tandem is a proxy that moves a live Redis or Valkey keyspace to another server.

Point the application at tandem. Every write reaches both servers while a backfill copies what was there
before; when both hold the same data, a cutover makes the target answer, and a rollback loses nothing.

  tandem precheck --source redis://old:6379 --target redis://new:6379
  tandem serve    --source redis://old:6379 --target redis://new:6379
  tandem status --watch        until the phase is synced
  tandem verify                compare both keyspaces
  tandem cutover               the target answers
  tandem finish                or tandem rollback`,
		Args:          noArguments,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	cobra.EnableCommandSorting = false // the order below is that of a migration
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run:"},
		&cobra.Group{ID: groupSteps, Title: "Steps of a migration:"},
		&cobra.Group{ID: groupLook, Title: "Look:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupRun, newServeCommand(), newMigrateCommand(), newDemoCommand())
	add(groupSteps, newStepCommands()...)
	add(groupSteps, newThrottleCommand(), newReloadCommand(), newLogCommand())
	add(groupLook, newPrecheckCommand(), newStatusCommand(), newVerifyCommand(), newReportCommand(), newConfigCommand(), newVersionCommand())
	root.AddCommand(newManCommand())
	return root
}

// noArguments refuses arguments, and says that one where a command is expected is no command.
func noArguments(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case !cmd.HasSubCommands():
		return &usageError{fmt.Errorf("%s takes no argument: %q", cmd.CommandPath(), args[0])}
	}
	text := fmt.Sprintf("%s has no command %q", cmd.CommandPath(), args[0])
	cmd.SuggestionsMinimumDistance = 2 // letters that may be wrong
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += ": did you mean " + strings.Join(near, " or ") + "?"
	}
	return &usageError{errors.New(text)}
}
