package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"tandem/internal/demo"
)

// newDemoCommand is everything at once, for somebody who wants to see it before reading on.
func newDemoCommand() *cobra.Command {
	o := demo.Defaults()
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a whole migration on servers that it starts and stops itself",
		Long: `Show a whole migration: two redis-servers on free ports, data of every type, clients that check every reply,
and tandem between them through backfill, verify, cutover, rollback and finish. It needs redis-server
installed and nothing else, takes about half a minute, and leaves nothing behind. The exit status is 0 only
if both servers held the same in the end and no client saw an error.`,
		Example: `  tandem demo
  tandem demo --keys 1000000 --clients 32`,
		Args: noArguments,
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.JSON, "json", false, "print each step as a JSON object {step, ok, text} instead")
	flags.IntVar(&o.Keys, "keys", o.Keys, "keys in the source")
	flags.IntVar(&o.Clients, "clients", o.Clients, "clients that go on reading and writing")
	flags.IntVar(&o.PerSecond, "rate", o.PerSecond, "commands a second of all clients together, at most")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.Check(); err != nil {
			return &usageError{err}
		}
		binary, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the program of the proxy: %w", err)
		}
		o.Binary, o.Out = binary, cmd.OutOrStdout()
		o.Look = demo.LookOf(o.Out)
		// A terminal that is closed must not leave servers behind.
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
		defer stop()
		if err := demo.Run(ctx, o); err != nil {
			return errors.Join(errSaid, err) // the screen has shown it
		}
		return nil
	}
	return cmd
}
