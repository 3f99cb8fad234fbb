package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tandem/config"
)

func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check the configuration, print it, or print the defaults",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			return &usageError{errors.New("config needs one of check, print, defaults")}
		},
	}
	cmd.AddCommand(newConfigCheckCommand(), newConfigPrintCommand(), newConfigDefaultsCommand())
	return cmd
}

func newConfigCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Read file, environment and flags as serve would, and report every mistake",
		Example: `  tandem config check -c tandem.yaml`,
		Args:    noArguments,
	}
	settings := addSettings(cmd, serveFlags)
	asJSON := addJSON(cmd, "print what was found as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := settings.load()
		if err != nil {
			return err
		}
		if *asJSON {
			return writeJSON(cmd.OutOrStdout(), map[string]any{"valid": true, "source": c.Source.URL.String(), "target": c.Target.URL.String()})
		}
		fmt.Fprintf(cmd.OutOrStdout(), "The configuration is valid: %s to %s.\n", c.Source.URL, c.Target.URL)
		return nil
	}
	return cmd
}

func newConfigPrintCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print every setting that serve would use, without passwords",
		Args:  noArguments,
	}
	settings := addSettings(cmd, serveFlags)
	asJSON := addJSON(cmd, "print them as JSON, lengths of time and sizes as in the file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := settings.load()
		if *asJSON {
			if err != nil {
				return err
			}
			var file bytes.Buffer
			if err := c.WriteYAML(&file); err != nil {
				return err
			}
			return yamlAsJSON(cmd.OutOrStdout(), file.Bytes())
		}
		// Printed with its mistakes too: that is when one wants to see it.
		return errors.Join(c.WriteYAML(cmd.OutOrStdout()), err)
	}
	return cmd
}

func newConfigDefaultsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "defaults",
		Short:   "Print a file with every setting, its default and its meaning",
		Example: `  tandem config defaults > tandem.yaml`,
		Args:    noArguments,
	}
	asJSON := addJSON(cmd, "print the defaults as JSON, without their meanings")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *asJSON {
			return yamlAsJSON(cmd.OutOrStdout(), []byte(config.Defaults()))
		}
		_, err := io.WriteString(cmd.OutOrStdout(), config.Defaults())
		return err
	}
	return cmd
}
