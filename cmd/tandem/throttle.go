package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/demo/text"
	"tandem/internal/status"
)

func newThrottleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "throttle",
		Short: "Show or change how fast keys are copied",
		Long: `Show how fast keys are copied at most, or change it while it runs. What is not given stays as it is. A change
counts for every pass in either direction, until a restart of serve: that goes by the configuration again
(backfill.max_keys_per_s and its neighbours).`,
		Args: noArguments,
	}
	remote := addRemote(cmd)
	var keys, workers int
	var bytes, inFlight, windows, governor string
	var asJSON bool
	flags := cmd.Flags()
	flags.IntVar(&keys, "keys", 0, "copy at most `N` keys per second; 0 is no limit")
	flags.StringVar(&bytes, "bytes", "", "read at most `SIZE` of values per second for copying, such as 20MiB; 0 is no limit")
	flags.StringVar(&inFlight, "in-flight", "", "have at most `SIZE` of values between the servers, such as 16MiB")
	flags.IntVar(&workers, "workers", 0, "copy `N` batches at once")
	flags.StringVar(&windows, "windows", "", "`off` copies outside of backfill.windows, too; on takes that back")
	flags.StringVar(&governor, "governor", "", "`on` has copying yield to clients, off does not")
	flags.BoolVar(&asJSON, "json", false, "print what counts then as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var o admin.ThrottleOptions
		if flags.Changed("keys") {
			o.MaxKeysPerS = &keys
		}
		if flags.Changed("workers") {
			o.Workers = &workers
		}
		var errs [4]error
		o.MaxBytesPerS, errs[0] = sizeFlag("bytes", bytes)
		o.WindowBytes, errs[1] = sizeFlag("in-flight", inFlight)
		o.Windows, errs[2] = switchFlag("windows", windows)
		o.Governor, errs[3] = switchFlag("governor", governor)
		if err := errors.Join(errs[:]...); err != nil {
			return &usageError{err}
		}
		client, err := remote.client()
		if err != nil {
			return err
		}
		defer client.Close()
		t, err := client.Throttle(cmd.Context(), o)
		switch {
		case errors.Is(err, admin.ErrInvalid):
			return &usageError{fmt.Errorf("throttle: %w", err)}
		case err != nil:
			return fmt.Errorf("throttle: %w", err)
		case asJSON:
			return json.NewEncoder(cmd.OutOrStdout()).Encode(t)
		}
		return writeThrottle(cmd.OutOrStdout(), t)
	}
	return cmd
}

// sizeFlag reads a size that may have been given; nil if it was not.
func sizeFlag(name, value string) (*int64, error) {
	if value == "" {
		return nil, nil
	}
	n, err := config.ParseBytes(value)
	if err != nil {
		return nil, fmt.Errorf("--%s %q %w: write a number of bytes, or one with a unit such as 20MiB", name, value, err)
	}
	size := int64(n)
	return &size, nil
}

// switchFlag reads on or off; nil if neither was given.
func switchFlag(name, value string) (*bool, error) {
	on := value == "on"
	switch value {
	case "":
		return nil, nil
	case "on", "off":
		return &on, nil
	}
	return nil, fmt.Errorf("--%s is %q: use on or off", name, value)
}

// writeThrottle says how fast may be copied.
func writeThrottle(w io.Writer, t status.ThrottleStatus) error {
	line := fmt.Sprintf("%s, %s; %s between the servers, %d workers",
		t.KeysText(), t.BytesText(), text.Bytes(t.WindowBytes), t.Workers)
	if window := t.WindowText(); window != "" {
		line += "\n" + window
	}
	if governor := t.GovernorText(); governor != "" {
		line += "\n" + governor
	}
	if t.Changed {
		line += "\nThat is not what is configured: a restart takes it back."
	}
	_, err := fmt.Fprintln(w, line)
	return err
}
