package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"tandem/config"
	"tandem/internal/status"
)

// Every command that prints something prints it for programs, too: as one JSON object, or as lines of them where it says so.
// What is written to stderr is for people in any case.

// addJSON gives a command --json.
func addJSON(cmd *cobra.Command, usage string) *bool {
	return cmd.Flags().Bool("json", false, usage)
}

// wantsJSON tells whether a command was given --json.
func wantsJSON(cmd *cobra.Command) bool {
	f := cmd.Flags().Lookup("json")
	return f != nil && f.Value.String() == "true"
}

// writeJSON writes one object on a line.
func writeJSON(w io.Writer, v any) error {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return fmt.Errorf("write it as JSON: %w", err)
	}
	return nil
}

// failure is an error, as --json has it: what the admin API answers, and what is wrong with a configuration.
type failure struct {
	Error    string           `json:"error"`
	Blockers []status.Blocker `json:"blockers"`
	Problems []problem        `json:"problems"`
}

// problem is one mistake of a configuration.
type problem struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
	Wrong  string `json:"wrong"`
	Do     string `json:"do"`
}

// failureOf is what an error has to say.
func failureOf(err error) failure {
	f := failure{Error: err.Error(), Blockers: []status.Blocker{}, Problems: []problem{}}
	if list := blockersOf(err); list != nil {
		f.Blockers = list
	}
	var configuration *config.Error
	if errors.As(err, &configuration) {
		for _, p := range configuration.Problems {
			f.Problems = append(f.Problems, problem(p))
		}
	}
	return f
}

// yamlAsJSON writes a file of settings as an object.
func yamlAsJSON(w io.Writer, file []byte) error {
	var all map[string]any
	if err := yaml.Unmarshal(file, &all); err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	return writeJSON(w, all)
}
