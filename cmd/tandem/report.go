package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tandem/internal/admin"
)

func newReportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Tell the migration as a whole: what moved, what clients felt, what went wrong",
		Long: `Tell the migration as a whole: what moved and how long it took, how long clients were held, what went wrong and
was survived, and whether both servers were seen to be equal. With --html it is one page to read, print and send; with
--json it is for programs. When a migration is finished, both are written into its state directory.`,
		Args: noArguments,
	}
	remote := addRemote(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print the report as JSON")
	asPage := cmd.Flags().Bool("html", false, "print the report as a page of HTML that is complete in itself")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *asJSON && *asPage {
			return &usageError{errors.New("--json and --html cannot both be had: give one of them")}
		}
		client, err := remote.client()
		if err != nil {
			return err
		}
		defer client.Close()
		write := writeReportText
		switch {
		case *asJSON:
			write = writeReportJSON
		case *asPage:
			write = writeReportPage
		}
		if err := write(cmd.Context(), client, cmd.OutOrStdout()); err != nil {
			return fmt.Errorf("report: %w", err)
		}
		return nil
	}
	return cmd
}

func writeReportText(ctx context.Context, client *admin.Client, w io.Writer) error {
	r, err := client.Report(ctx)
	if err != nil {
		return err
	}
	return r.WriteText(w)
}

func writeReportPage(ctx context.Context, client *admin.Client, w io.Writer) error {
	r, err := client.Report(ctx)
	if err != nil {
		return err
	}
	return r.WriteHTML(w)
}

func writeReportJSON(ctx context.Context, client *admin.Client, w io.Writer) error {
	r, err := client.ReportJSON(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", r)
	return err
}
