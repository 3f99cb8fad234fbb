// Package watch shows a running migration on a terminal, full screen and live: `tandem status --watch`.
//
// It knows what the admin API says and nothing else, asks once a second, and goes on asking when nothing answers: what was
// known last stays on the screen, faint and with its age. It changes nothing, of the migration as of the terminal, which is
// as it was when the view ends.
//
//	watch.go   Run, and what is asked
//	model.go   what is known, and keys; stop.go: Ctrl-Z
//	view.go    the screen as a whole: title, what scrolls, keys
//	panels.go  the parts of it; pane.go: lines of a part, and parts side by side
package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"

	"tandem/internal/history"
	"tandem/internal/journal"
	"tandem/internal/status"
	"tandem/internal/terminal"
)

const (
	// interval is how often is asked.
	interval = time.Second
	// askTimeout is how long an answer may take.
	askTimeout = 5 * time.Second
	// quiet is how old what is shown may be before it says so.
	quiet = 3 * time.Second
	// keptSamples is how many seconds of the history are kept: more than a curve has cells.
	keptSamples = 300
	// keptEvents is how many of the last events are kept.
	keptEvents = 50
)

// Source is the running tandem; an *admin.Client is one.
type Source interface {
	Status(ctx context.Context) (status.Status, error)
	History(ctx context.Context, after int64) (history.Series, error)
	LastEvents(ctx context.Context, after int64, most int) ([]journal.Event, error)
	// String is its address.
	String() string
}

// Run shows the migration on a terminal until the reader leaves or ctx ends; neither is an error. A tandem that is not there is
// waited for; one that refuses access from the first is an error.
func Run(ctx context.Context, source Source, out *os.File, look terminal.Look) error {
	m := newModel(source.String(), look, func(after, seq int64) answer {
		return ask(ctx, source, after, seq)
	})
	options := []tea.ProgramOption{tea.WithContext(ctx), tea.WithOutput(out), tea.WithoutSignalHandler()}
	if !terminal.Is(os.Stdin) {
		options = append(options, tea.WithInput(nil)) // without keys: a signal ends it
	}
	_, err := tea.NewProgram(m, options...).Run()
	if m.denied != nil {
		return m.denied
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, tea.ErrInterrupted) {
		return fmt.Errorf("show it on the terminal: %w", err)
	}
	return nil
}

// answer is what came of asking once.
type answer struct {
	status  status.Status
	history history.Series
	events  []journal.Event
	err     error
}

// ask asks for the status, and for what is new of history and events. A tandem that does not tell those is shown without.
func ask(ctx context.Context, source Source, after, seq int64) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if a.status, a.err = source.Status(ctx); a.err != nil {
		if errors.Is(a.err, context.DeadlineExceeded) {
			a.err = fmt.Errorf("no answer within %s", askTimeout)
		}
		return a
	}
	a.history, _ = source.History(ctx, after)
	a.events, _ = source.LastEvents(ctx, seq, keptEvents)
	return a
}
