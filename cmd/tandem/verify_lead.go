package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"tandem/internal/admin"
	"tandem/internal/demo/text"
)

// newLeadVerifyCommands are the commands for a verify that runs.
func newLeadVerifyCommands() []*cobra.Command {
	return []*cobra.Command{
		newLeadVerifyCommand(admin.PauseVerify, "Pause the verify that runs"),
		newLeadVerifyCommand(admin.ResumeVerify, "Let it go on"),
		newLeadVerifyCommand(admin.CancelVerify, "End it; what it has found so far stays listed"),
	}
}

func newLeadVerifyCommand(step admin.VerifyStep, short string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   string(step) + " [ID]",
		Short: short,
		Long:  short + ". Without an ID it is the one that began last.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &usageError{errors.New("one verify at a time: give one ID")}
			}
			return nil
		},
	}
	remote := addRemote(cmd)
	asJSON := addJSON(cmd, "print the verify as it stands then as JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := remote.client()
		if err != nil {
			return err
		}
		defer client.Close()
		id, err := verifyToLead(cmd.Context(), client, args)
		if err != nil {
			return fmt.Errorf("verify %s: %w", step, err)
		}
		s, err := client.LeadVerify(cmd.Context(), id, step)
		if err != nil {
			return fmt.Errorf("verify %s: %w", step, err)
		}
		if *asJSON {
			return writeJSON(cmd.OutOrStdout(), s)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "Verify %s is %s: %s keys compared, %s different.\n", s.ID, s.State, text.Count(s.Compared),
			text.Count(s.Different))
		return nil
	}
	return cmd
}

// verifyToLead is the one that was named, or the last.
func verifyToLead(ctx context.Context, client *admin.Client, args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	s, err := client.Status(ctx)
	switch {
	case err != nil:
		return "", err
	case s.Verify.ID == "":
		return "", errors.New("there was none since tandem has started")
	}
	return s.Verify.ID, nil
}
