package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/config"
	"tandem/internal/demo/text"
	"tandem/internal/status"
	"tandem/internal/terminal"
	"tandem/migration"
)

// migrateProgress is how often progress is shown.
const migrateProgress = 500 * time.Millisecond

// migrateOptions are those of tandem migrate that are no settings.
type migrateOptions struct {
	dryRun, admin  bool
	json           bool
	follow         time.Duration // how long keys are compared and copied again
	stdout, stderr io.Writer
}

// runMigrate moves the keyspace once and drains. The log is for warnings: progress goes to stderr as one line.
func runMigrate(ctx context.Context, cfg *config.Config, o migrateOptions) error {
	if n := int64(cfg.MemoryLimitBytes); n > 0 {
		debug.SetMemoryLimit(n)
	}
	if cfg.Log.Level == "info" && terminal.Is(o.stderr) {
		cfg.Log.Level = "warn" // the line of progress says the rest
	}
	progress := terminal.NewProgress(o.stderr)
	log := newLogger(progress, cfg.Log) // its lines and the one of progress share a terminal
	m, err := newMigration(cfg, log)
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	drained, end := context.WithCancel(context.Background())
	defer end()
	var group errgroup.Group
	if o.admin {
		api, err := listenAdmin(cfg, m, nil, log)
		if err != nil {
			return errors.Join(err, m.Run(ended()))
		}
		group.Go(func() error {
			defer stop()
			return api.Serve(drained)
		})
	}
	began := time.Now()
	var moved migration.Moved
	var result error
	group.Go(func() error {
		defer stop()
		moved, result = followMigrate(serving, m, o, progress)
		return nil
	})
	group.Go(func() error {
		defer end()
		defer stop()
		return m.Run(serving)
	})
	err = group.Wait()
	switch {
	case errors.Is(err, migration.ErrPair):
		return fmt.Errorf("%w: %w", errRefused, err)
	case ctx.Err() != nil:
		return errors.Join(errors.New("migrate: interrupted: run it again, and it goes on where it was"), err)
	case errors.Is(result, migration.ErrDifferent):
		err := fmt.Errorf("migrate: %w: somebody writes to the source past tandem, or to the target; stop that, and run it again", result)
		if o.json {
			fmt.Fprintf(o.stderr, "tandem: %v\n", err)
			return errors.Join(err, errSaid, writeJSON(o.stdout, outcomeOf(m.Status(), moved, time.Since(began))))
		}
		writeDifferences(o.stdout, moved)
		return err
	case errors.Is(result, migration.ErrUnwatched):
		err := fmt.Errorf("migrate: all keys were equal when they were compared, but %w; stop those who write, and run it again", result)
		if o.json {
			fmt.Fprintf(o.stderr, "tandem: %v\n", err)
			unwatched := outcomeOf(m.Status(), moved, time.Since(began))
			unwatched.Result = "unwatched"
			return errors.Join(err, errSaid, writeJSON(o.stdout, unwatched))
		}
		return err
	case result != nil:
		return errors.Join(fmt.Errorf("migrate: %w", result), err)
	case err != nil:
		return err
	}
	if o.json {
		if err := writeJSON(o.stdout, outcomeOf(m.Status(), moved, time.Since(began))); err != nil {
			return err
		}
	} else {
		writeMoved(o, m.Status(), moved, time.Since(began))
	}
	if moved.Verify.Unheld > 0 && !slices.Contains(cfg.Precheck.Accept, "field_expiry") {
		return fmt.Errorf("migrate: %w: the target has no expiry of hash fields, and nobody has accepted that: precheck.accept field_expiry", errDifferent)
	}
	return nil
}

// followMigrate moves the keyspace and shows how it goes.
func followMigrate(ctx context.Context, m *migration.Migration, o migrateOptions, progress *terminal.Progress) (migration.Moved, error) {
	var stage atomic.Value
	stage.Store("")
	shown, hide := context.WithCancel(ctx)
	var group errgroup.Group
	group.Go(func() error {
		defer progress.Clear()
		tick := time.NewTicker(migrateProgress)
		defer tick.Stop()
		for {
			select {
			case <-shown.Done():
				return nil
			case <-tick.C:
				progress.Show(migrateStage(stage.Load().(string), m.Status()))
			}
		}
	})
	moved, err := m.Once(ctx, migration.OnceOptions{For: o.follow, Stage: func(s string) { stage.Store(s) }})
	hide()
	_ = group.Wait() // it fails never
	return moved, err
}

// migrateStage is how far a stage is.
func migrateStage(stage string, s status.Status) terminal.Stage {
	switch stage {
	case migration.StageCopy:
		return copyStage(s)
	case migration.StageVerify:
		return terminal.Stage{Name: "verify", Percent: s.Verify.Percent,
			Text: fmt.Sprintf("%s keys compared, %s different", text.Count(s.Verify.Compared), text.Count(s.Verify.Different))}
	case migration.StageRepair:
		return terminal.Stage{Name: "repair", Text: text.Count(s.DirtyKeys) + " keys to copy again"}
	}
	return terminal.Stage{Name: "precheck"}
}

// writeMoved says what was done, and what it does not promise.
func writeMoved(o migrateOptions, s status.Status, moved migration.Moved, took time.Duration) {
	same := "both servers hold the same"
	if n := moved.Verify.Unheld; n > 0 {
		same = fmt.Sprintf("both servers hold the same but for the expiry of hash fields: of %s hashes there are fields that expire on the source, "+
			"and stay on the target for ever", text.Count(n))
	}
	fmt.Fprintf(o.stdout, "%s keys compared, 0 different: %s. It took %s.\n", text.Count(moved.Verify.Compared), same, text.Duration(took))
	if kept := moved.Verify.Kept; kept > 0 {
		fmt.Fprintf(o.stderr, "%s keys that both had stay as the target had them; they are listed in %s.\n", text.Count(kept), s.Duplicates.List)
	}
	if staying := s.Backfill.KeysStaying; staying > 0 {
		fmt.Fprintf(o.stderr, "%s keys of the source do not move, as the configuration says, and are not on the target.\n", text.Count(staying))
	}
	if moved.Repaired > 0 {
		fmt.Fprintf(o.stderr, "%s keys differed when they were first compared, and were copied again: they were written past tandem.\n", text.Count(moved.Repaired))
	}
	if s.Tracking.State != status.Running {
		fmt.Fprintln(o.stderr, "Nobody watched for writes past tandem: what was written to the source after its key was compared is not on the target.")
	} else if n, ok := s.Tracking.ForeignWrites.Get(); ok && n > 0 {
		fmt.Fprintf(o.stderr, "%s writes came past tandem; of those from now on nothing reaches the target.\n", text.Count(n))
	}
	fmt.Fprintln(o.stdout, "Next: if there were writers, stop them and run this once more; then start the applications at the target")
}

// outcome is what a migration has come to, as --json has it.
type outcome struct {
	// Result is equal, different, or unwatched: equal when compared, and nobody knows what others have written since.
	Result   string `json:"result"`
	Compared int64  `json:"compared"`
	// Different is how many keys differ; Differences are the first of them, and Repaired how many were copied again before.
	Different   int64               `json:"different"`
	Repaired    int64               `json:"repaired"`
	Differences []status.Difference `json:"differences"`
	// Kept keys stay as the target had them, Staying ones do not move, Unheld hashes have fields that expire on one server only.
	Kept    int64 `json:"kept"`
	Staying int64 `json:"staying"`
	Unheld  int64 `json:"unheld"`
	// Watched: writes past tandem were watched for; ForeignWrites is how many came, null if nobody has watched.
	Watched       bool                   `json:"watched"`
	ForeignWrites status.Optional[int64] `json:"foreign_writes"`
	TookMs        int64                  `json:"took_ms"`
}

func outcomeOf(s status.Status, moved migration.Moved, took time.Duration) outcome {
	o := outcome{Result: "equal", Compared: moved.Verify.Compared, Different: moved.Verify.Different, Repaired: moved.Repaired, Differences: moved.Differences,
		Kept: moved.Verify.Kept, Staying: s.Backfill.KeysStaying, Unheld: moved.Verify.Unheld, Watched: s.Tracking.State == status.Running,
		ForeignWrites: s.Tracking.ForeignWrites, TookMs: took.Milliseconds()}
	if o.Different > 0 {
		o.Result = "different"
	}
	if o.Differences == nil {
		o.Differences = []status.Difference{}
	}
	return o
}

// writeDifferences lists the first keys that differ.
func writeDifferences(w io.Writer, moved migration.Moved) {
	for _, d := range moved.Differences {
		fmt.Fprintf(w, "db %d  %s  %s  %s\n", d.DB, strconv.Quote(string(d.Key)), d.Kind, d.Detail)
	}
	if more := moved.Verify.Different - int64(len(moved.Differences)); more > 0 {
		fmt.Fprintf(w, "and %s more\n", text.Count(more))
	}
}
