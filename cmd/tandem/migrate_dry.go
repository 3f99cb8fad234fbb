package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"tandem/config"
	"tandem/internal/instance"
	"tandem/internal/precheck"
	"tandem/internal/state"
	"tandem/internal/status"
	"tandem/internal/terminal"
	"tandem/migration"
)

// runDryMigrate says what migrate would do. It opens no state directory and starts nothing.
func runDryMigrate(ctx context.Context, cfg *config.Config, o migrateOptions) error {
	log := newLogger(o.stderr, cfg.Log)
	source, err := newInstance(instance.Source, cfg.Source, log)
	if err != nil {
		return err
	}
	target, err := newInstance(instance.Target, cfg.Target, log)
	if err != nil {
		return err
	}
	earlier, err := state.Peek(cfg.StateDir, [2]string{source.Addr, target.Addr})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	target.Renumber(cfg.Numbers())
	options := migration.PrecheckOptions(cfg)
	options.Resume = earlier != nil && earlier.Phase != status.Passthrough
	options.Duplicates = migration.LookAtDuplicates(cfg, source, target, log)
	report, err := precheckWithProgress(ctx, source, target, options, terminal.NewProgress(o.stderr))
	if err != nil {
		return err
	}
	if o.json {
		if err := writeJSON(o.stdout, planned{Precheck: report, Steps: planOf(cfg, o, earlier, report), Refused: refuses(cfg, report)}); err != nil {
			return err
		}
		return dryResult(cfg, report)
	}
	if err := report.WriteTable(o.stdout, terminal.LookOf(o.stdout).Color); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := writePlan(o.stdout, cfg, o, earlier, report); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return dryResult(cfg, report)
}

// dryResult is an error if migrate would be refused.
func dryResult(cfg *config.Config, report *precheck.Report) error {
	if refuses(cfg, report) {
		return fmt.Errorf("%w: %w", errRefused, errSaid)
	}
	return nil
}

// refuses tells whether a start would be refused for what the precheck has found.
func refuses(cfg *config.Config, report *precheck.Report) bool {
	return report.Result == precheck.Failed || cfg.Precheck.Warnings == "refuse" && len(report.Unaccepted()) > 0
}

// planned is what migrate would do, as --json has it.
type planned struct {
	Precheck *precheck.Report `json:"precheck"`
	Refused  bool             `json:"refused"`
	Steps    []plannedStep    `json:"steps"`
}

// plannedStep is one step that migrate would take, and what is known of it.
type plannedStep struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// writePlan writes the steps that migrate would take.
func writePlan(w io.Writer, cfg *config.Config, o migrateOptions, earlier *state.State, report *precheck.Report) error {
	head := "It would:"
	if refuses(cfg, report) {
		head = "It would be refused, for the reasons above. Without them it would:"
	}
	lines := []string{"", head}
	for _, s := range planOf(cfg, o, earlier, report) {
		lines = append(lines, fmt.Sprintf("  %-11s  %s", s.Name, s.Text))
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// planOf are the steps that migrate would take, with what the precheck has found of each.
func planOf(cfg *config.Config, o migrateOptions, earlier *state.State, report *precheck.Report) (steps []plannedStep) {
	found := map[string]string{}
	for _, item := range report.Items {
		found[item.Name] = item.Found
	}
	add := func(name, text string) { steps = append(steps, plannedStep{name, text}) }
	switch {
	case earlier == nil:
		add("begin", "a new state directory, "+cfg.StateDir)
	case earlier.Phase == status.Reversed || earlier.Phase == status.Finished:
		add("refuse", "the state directory "+cfg.StateDir+" is of a migration that was cut over (phase "+earlier.Phase+")")
	default:
		add("go on", "where the state directory "+cfg.StateDir+" says: phase "+earlier.Phase)
	}
	if text := found["duration"]; text != "" {
		add("copy", text)
	}
	if text := found["target_empty"]; text != "" {
		add("duplicates", "on the target: "+text+" (duplicates: "+cfg.Duplicates+")")
	}
	add("follow", "writers past tandem: "+found["source_client_tracking"]+" (tracking: "+cfg.Tracking+")")
	add("verify", fmt.Sprintf("all keys, and copy again those that differ, for %s at most", o.follow))
	add("end", "by itself: 0 if both servers are equal, 4 if not")
	return steps
}
