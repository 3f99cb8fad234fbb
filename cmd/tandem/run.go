package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"tandem/internal/admin"
)

// run runs one command line and returns its exit status. Errors go to stderr, once, from here.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := withSignals(context.Background(), stderr)
	defer stop()

	started := false
	root := newRootCommand()
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !started {
		// Until a command has started, all that can be wrong is the command line.
		err = &usageError{err}
	}
	explain(stderr, cmd, err)
	if err != nil && !errors.Is(err, errSaid) && wantsJSON(cmd) {
		_ = writeJSON(stdout, failureOf(err)) // it was said on stderr
	}
	return exitCode(err)
}

// withSignals returns a context that SIGINT and SIGTERM end. A second one ends the process at once: what
// the first has begun takes too long for somebody.
func withSignals(parent context.Context, stderr io.Writer) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for range 2 {
			select {
			case <-signals:
				if ctx.Err() != nil {
					fmt.Fprintln(stderr, "tandem: ended at once by a second signal; what was under way is not waited for")
					os.Exit(exitFailed)
				}
				cancel()
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}

// explain says what went wrong, and for a mistyped command where to read on.
func explain(stderr io.Writer, cmd *cobra.Command, err error) {
	var usage *usageError
	switch {
	case err == nil || errors.Is(err, errSaid):
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "tandem: %v\nSee: %s --help\n", err, cmd.CommandPath())
	default:
		fmt.Fprintf(stderr, "tandem: %v\n", err)
		writeBlockers(stderr, blockersOf(err))
		switch {
		case errors.Is(err, admin.ErrUnreachable):
			fmt.Fprintln(stderr, "Is tandem serve running there? --admin names another address.")
		case errors.Is(err, admin.ErrUnauthorized):
			fmt.Fprintln(stderr, "TANDEM_ADMIN_TOKEN, or the file that TANDEM_ADMIN_TOKEN_FILE names, holds a token that serve was given; one with the role read takes no step.")
		}
	}
}
