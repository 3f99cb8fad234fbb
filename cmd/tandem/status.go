package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/admin"
	"tandem/internal/terminal"
	"tandem/internal/watch"
)

// watchInterval is how often --watch asks.
const watchInterval = time.Second

func newStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the migration stands",
		Long: `Show how the migration stands: the phase, what was copied, how far the other server is behind, what stands in the way
of the next step, and what to do. With --watch on a terminal it is a screen that goes on, with the last minutes as curves: arrow
keys and the tab key scroll what does not fit, q ends it. NO_COLOR has it without colours; TERM=dumb, or output that
goes elsewhere, as lines.`,
		Args: noArguments,
	}
	remote := addRemote(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print the status as JSON, one object per line")
	goOn := cmd.Flags().Bool("watch", false, "go on showing it: full screen on a terminal, else again every second")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := remote.client()
		if err != nil {
			return err
		}
		defer client.Close()
		show := showStatus
		if *asJSON {
			show = showStatusJSON
		}
		look := terminal.LookOf(cmd.OutOrStdout())
		switch {
		case *goOn && look.Live && !*asJSON:
			if err := watch.Run(cmd.Context(), client, cmd.OutOrStdout().(*os.File), look); err != nil {
				return fmt.Errorf("status: %w", err)
			}
			return nil
		case *goOn:
			return watchStatus(cmd.Context(), client, show, cmd.OutOrStdout())
		}
		if err := show(cmd.Context(), client, cmd.OutOrStdout()); err != nil {
			return fmt.Errorf("status: %w", err)
		}
		return nil
	}
	return cmd
}

func showStatus(ctx context.Context, client *admin.Client, w io.Writer) error {
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	return writeStatus(w, s)
}

func showStatusJSON(ctx context.Context, client *admin.Client, w io.Writer) error {
	s, err := client.StatusJSON(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", s)
	return err
}

// watchStatus writes the status again and again until ctx ends, which is how it is meant to end. A tandem that has answered
// once may go away for a while: it may be restarted.
func watchStatus(ctx context.Context, client *admin.Client, show func(context.Context, *admin.Client, io.Writer) error, w io.Writer) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for first := true; ; first = false {
		var picture bytes.Buffer // whole, for who reads it line by line
		err := show(ctx, client, &picture)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (first || !errors.Is(err, admin.ErrUnreachable)):
			return fmt.Errorf("status: %w", err)
		case err != nil:
			fmt.Fprintf(&picture, "%s  %v\n", time.Now().Format(time.TimeOnly), err)
		}
		if !first && bytes.Count(picture.Bytes(), []byte("\n")) > 1 {
			fmt.Fprintln(w)
		}
		if _, err := picture.WriteTo(w); err != nil {
			return fmt.Errorf("status: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
