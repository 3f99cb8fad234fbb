// Package audit is the record of who has done what to a migration: JSON lines in a file of its own, each on the disk before the
// one who asked has an answer.
//
// A step is two lines with the same request: one when it is asked for, before anything is done, and one with what came of it. So
// a process that dies in between leaves a line that says who has begun what. It owns the file; what is worth a line, and what to
// do when none can be written, is for who asks (package admin). It never sees a token or a password.
package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// What a line says of a request.
const (
	// Asked: it is about to be done.
	Asked = "asked"
	// Done: it was.
	Done = "done"
	// Refused: it cannot be done now, or is no request at all; Undone: it was begun, and undone; Failed: something went wrong.
	Refused = "refused"
	Undone  = "undone"
	Failed  = "failed"
	// Denied: the caller may not.
	Denied = "denied"
)

// Entry is one line.
type Entry struct {
	// At is the time, UTC, with milliseconds.
	At string `json:"at"`
	// Event is asked, done, refused, undone, failed or denied.
	Event string `json:"event"`
	// Request is the request's name, as the caller has it in X-Request-Id.
	Request string `json:"request"`
	Who     Who    `json:"who"`
	// Step is what was asked for, as the last part of its path: cutover, rollback, verify pause. Of what was denied, method and path.
	Step string `json:"step"`
	// Options are those of the request, if there are any.
	Options any `json:"options,omitempty"`
	// Error says why, unless it is done.
	Error string `json:"error,omitempty"`
	// PhaseBefore is the phase when it was asked for; PhaseAfter, and how long it took, are of what is over.
	PhaseBefore string  `json:"phase_before,omitempty"`
	PhaseAfter  string  `json:"phase_after,omitempty"`
	DurationMs  float64 `json:"duration_ms,omitempty"`
	// LeftOut is how many denied requests before this one were not written, because there were too many.
	LeftOut int `json:"left_out,omitempty"`
}

// Who is the caller, as far as it is known.
type Who struct {
	// Name is that of the token, empty where none was sent, or admin.token.
	Name string `json:"name"`
	// Certificate is the subject of the client certificate that it has shown.
	Certificate string `json:"certificate,omitempty"`
	// User is the caller's user on this machine, where it came from here and the system tells.
	User string `json:"user,omitempty"`
	// From is the address that it came from, or the signal.
	From string `json:"from"`
	// Program is what it calls itself.
	Program string `json:"program,omitempty"`
}

// Counts are totals since the start.
type Counts struct {
	Written, Failed uint64
	// Trouble is why the last line could not be written; empty if it could, or none has been tried since.
	Trouble string
}

// patience is how long a line may take to be on the disk. A disk that hangs must not keep anybody from a rollback.
const patience = 3 * time.Second

var errHangs = errors.New("the disk does not answer")

// Log is the file. Its methods may be called by several goroutines.
type Log struct {
	mu       sync.Mutex // held for no longer than it takes to look
	path     string     // empty: nothing is written
	to       *sink      // nil: it is closed
	counts   Counts
	patience time.Duration // for tests; 0 is patience
}

// sink is an open file. Who writes has its turn, for as long as the disk takes.
type sink struct {
	file *os.File
	turn chan struct{} // of one
	torn bool          // the last line is not whole

	mu   sync.Mutex
	hung bool // somebody has waited in vain for who has the turn: nobody else waits for him
}

// late notes that a line is waited for no longer, unless it has been written meanwhile.
func (to *sink) late(written <-chan error) {
	to.mu.Lock()
	defer to.mu.Unlock()
	to.hung = len(written) == 0
}

// isHung reports whether waiting for a turn is of no use.
func (to *sink) isHung() bool {
	to.mu.Lock()
	defer to.mu.Unlock()
	return to.hung
}

// Open opens the file, or makes it, for its owner alone. An empty path is a Log that writes nothing.
func Open(path string) (*Log, error) {
	l := &Log{}
	return l, l.Reopen(path)
}

// Reopen goes on in another file, or in a new one of the same name. With an error it goes on where it was.
func (l *Log) Reopen(path string) error {
	next, err := Prepare(path)
	if err != nil {
		return err
	}
	l.GoOn(next)
	return nil
}

// Next is a file that was opened for a Log to go on in.
type Next struct {
	path string
	file *os.File
}

// Prepare opens a file for GoOn. One that is not used after all is given to Leave.
func Prepare(path string) (n Next, err error) {
	n.path = path
	if path != "" {
		n.file, err = open(path)
	}
	return n, err
}

// Leave closes a file that is not used.
func (n Next) Leave() {
	if n.file != nil {
		_ = n.file.Close()
	}
}

// GoOn has what follows written there.
func (l *Log) GoOn(n Next) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to != nil {
		_ = l.to.file.Close() // each line is on the disk, or its writer has been told
	}
	l.path, l.to, l.counts.Trouble = n.path, nil, ""
	if n.file != nil {
		l.to = &sink{file: n.file, turn: make(chan struct{}, 1)}
	}
}

func open(path string) (*os.File, error) {
	// Without O_NONBLOCK a pipe that nobody reads would be waited for, by clients too.
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY|syscall.O_NONBLOCK, 0o600)
	if errors.Is(err, syscall.ENXIO) {
		return nil, fmt.Errorf("open the audit log: nobody reads %s, which is a pipe or a socket", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil { // a new file is on the disk when its directory is
		_ = dir.Sync()
		_ = dir.Close()
	}
	return file, nil
}

// On reports whether there is a file.
func (l *Log) On() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.path != ""
}

// Counts returns what has become of lines so far.
func (l *Log) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// Write writes a line, with the time. It returns when the line is on the disk, or after some seconds with an error: it may be
// written later, then.
func (l *Log) Write(e Entry) error {
	l.mu.Lock()
	to, on, limit := l.to, l.path != "", l.patience
	l.mu.Unlock()
	if !on {
		return nil
	}
	if limit == 0 {
		limit = patience
	}
	e.At = time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00")
	err := to.write(e, limit)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.counts.Failed++
		l.counts.Trouble = err.Error()
		return fmt.Errorf("write the audit log: %w", err)
	}
	l.counts.Written++
	l.counts.Trouble = ""
	return nil
}

// write writes a line when it is its turn. Of those who wait for a disk that hangs only one is a goroutine of its own.
func (to *sink) write(e Entry, limit time.Duration) error {
	if to == nil {
		return errors.New("it is closed")
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case to.turn <- struct{}{}:
	default:
		if to.isHung() {
			return errHangs
		}
		select {
		case to.turn <- struct{}{}:
		case <-late.C:
			return errHangs
		}
	}
	written := make(chan error, 1)
	go func() {
		defer func() { <-to.turn }()
		err := to.append(append(line, '\n'))
		to.mu.Lock()
		defer to.mu.Unlock()
		to.hung = false
		written <- err
	}()
	select {
	case err := <-written:
		return err
	case <-late.C:
		to.late(written)
		return errHangs
	}
}

// append writes a line to the disk. It is the writer's turn.
func (to *sink) append(line []byte) error {
	if to.torn {
		line = append([]byte{'\n'}, line...) // what is there of the last one ends here
	}
	n, err := to.file.Write(line)
	if err != nil {
		to.torn = to.torn || n > 0
		return err
	}
	to.torn = false
	if err := to.file.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // of a pipe, which has no disk below it
		return err
	}
	return nil
}

// Close ends it; what is written from then on fails.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == nil {
		return nil
	}
	err := l.to.file.Close()
	l.to = nil
	return err
}
