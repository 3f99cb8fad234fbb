package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/admin"
)

// watchInterval is how often --watch asks.
const watchInterval = time.Second

func newStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the migration stands",
		Args:  noArguments,
	}
	remote := addRemote(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print the status as JSON, one object per line")
	watch := cmd.Flags().Bool("watch", false, "show it again every second, until interrupted")
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
		if *watch {
			return watchStatus(cmd.Context(), client, show, cmd.OutOrStdout(), isTerminal(cmd.OutOrStdout()) && !*asJSON)
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

// watchStatus shows the status until ctx ends, which is how it is meant to end. A tandem that has answered
// once may go away for a while: it may be restarted.
func watchStatus(ctx context.Context, client *admin.Client, show func(context.Context, *admin.Client, io.Writer) error, w io.Writer, redraw bool) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for first := true; ; first = false {
		frame := &frame{w: w, redraw: redraw, clear: first}
		err := show(ctx, client, frame)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (first || !errors.Is(err, admin.ErrUnreachable)):
			return fmt.Errorf("status: %w", err)
		case err != nil:
			fmt.Fprintf(frame, "%s  %v\n", time.Now().Format(time.TimeOnly), err)
		}
		if err := frame.flush(); err != nil {
			return fmt.Errorf("status: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
