package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tandem/internal/audit"
	"tandem/internal/status"
)

// AuditUnwritable is the blocker of steps that would leave no record. A step may be forced past it as past others.
const AuditUnwritable = "audit_unwritable"

// How many denied requests are recorded: who guesses tokens must not fill the disk.
const (
	deniedPerSecond = 1
	deniedAtOnce    = 20
)

// step is one request that may change something, from when it is asked for until what came of it is known.
type step struct {
	s     *Server
	began time.Time
	entry audit.Entry
}

// onward are the steps that must leave a record: those that move the migration on, or change data. Who is called at night to
// go back, or to take load off a server, is not kept from it by a full disk.
var onward = []string{"start", "resume", "cutover", "finish", "verify repair"}

// begin records that a step is asked for. Where that cannot be done and the step must leave a record, it answers, and ok is
// false. force are the blockers that the step is to ignore.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, name, force string, options any) (t *step, ok bool) {
	t = &step{s: s, entry: audit.Entry{
		Event: audit.Asked, Request: requestName(r), Who: s.who(r), Step: name, Options: options, PhaseBefore: s.options.Controller.Status().Phase,
	}}
	err := s.options.Audit.Write(t.entry)
	t.began = time.Now()
	if err == nil {
		return t, true
	}
	s.options.Log.Error("a step is not in the audit log", "step", name, "error", err)
	if !slices.Contains(onward, name) || slices.Contains(strings.Split(force, ","), AuditUnwritable) {
		return t, true
	}
	refused := &Refused{Message: name + " is refused: it would not be in the audit log", Blockers: []status.Blocker{{
		Code: AuditUnwritable, Message: err.Error(),
		Remedy: "make room, or let Tandem write there, or name another file in audit.file and reload; or force " + AuditUnwritable + ": the log has the step all the same",
	}}}
	t.end(refused)
	writeFailure(w, refused)
	return t, false
}

// given are the options of a step for the record, nil if there are none.
func given(o StepOptions) any {
	if o.Force == "" && len(o.Accept) == 0 && !o.Plans() && o.Within == 0 && !o.Cancel {
		return nil
	}
	return o
}

// withoutAudit are the blockers to ignore that are the Controller's affair.
func withoutAudit(force string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(force, ","), func(b string) bool { return b == AuditUnwritable }), ",")
}

// end records what came of a step.
func (t *step) end(err error) {
	e := &t.entry
	e.Event, e.PhaseAfter = eventOf(err), t.s.options.Controller.Status().Phase
	e.DurationMs = milliseconds(time.Since(t.began))
	if err != nil {
		e.Error = err.Error()
	}
	if werr := t.s.options.Audit.Write(*e); werr != nil {
		t.s.options.Log.Error("what came of a step is not in the audit log", "step", e.Step, "error", werr)
	}
	t.s.logEntry(*e)
}

// eventOf is what an error of the Controller means for the record.
func eventOf(err error) string {
	var refused *Refused
	switch {
	case err == nil:
		return audit.Done
	case errors.As(err, &refused), errors.Is(err, ErrInvalid), errors.Is(err, ErrUnknownVerify), errors.Is(err, ErrPrimaryDown):
		return audit.Refused
	case errors.Is(err, ErrUndone):
		return audit.Undone
	}
	return audit.Failed
}

// denial bounds how many denied requests are recorded.
type denial struct {
	mu      sync.Mutex
	rate    *rate.Limiter
	leftOut int
}

func newDenial() *denial { return &denial{rate: rate.NewLimiter(deniedPerSecond, deniedAtOnce)} }

// denied records a request that its caller may not send.
func (s *Server) denied(r *http.Request, why string) {
	s.denial.mu.Lock()
	if !s.denial.rate.Allow() {
		s.denial.leftOut++
		s.denial.mu.Unlock()
		return
	}
	leftOut := s.denial.leftOut
	s.denial.leftOut = 0
	s.denial.mu.Unlock()
	e := audit.Entry{Event: audit.Denied, Request: requestName(r), Who: s.who(r), Step: shown(r.Method + " " + r.URL.Path), Error: why, LeftOut: leftOut}
	if err := s.options.Audit.Write(e); err != nil {
		s.options.Log.Error("a denied request is not in the audit log", "error", err)
	}
	s.logEntry(e)
}

// Local takes a step that has not come by the API, such as a signal's, and records it.
func (s *Server) Local(name, from string, take func() error) error {
	t := &step{s: s, entry: audit.Entry{
		Event: audit.Asked, Request: newRequestName(), Who: audit.Who{From: from}, Step: name, PhaseBefore: s.options.Controller.Status().Phase,
	}}
	if err := s.options.Audit.Write(t.entry); err != nil {
		s.options.Log.Error("a step is not in the audit log", "step", name, "error", err)
	}
	t.began = time.Now()
	err := take()
	t.end(err)
	return err
}

// logEntry writes to the log what is recorded, whatever its level: where there is no file, it is the record.
func (s *Server) logEntry(e audit.Entry) {
	message := map[string]string{audit.Done: "admin request", audit.Denied: "admin request denied"}[e.Event]
	if message == "" {
		message = "admin request failed"
	}
	args := []any{"step", e.Step, "request", e.Request, "who", e.Who.Name, "certificate", e.Who.Certificate, "user", e.Who.User, "from", e.Who.From, "program", e.Who.Program}
	if e.Event != audit.Denied {
		args = append(args, "phase", e.PhaseAfter, "took_ms", e.DurationMs)
	}
	if text, err := json.Marshal(e.Options); e.Options != nil && err == nil {
		args = append(args, "options", string(text))
	}
	if e.Error != "" {
		args = append(args, "event", e.Event, "error", e.Error)
	}
	s.options.Log.Log(context.Background(), levelAudit, message, args...)
}

// levelAudit is above all others, so that no setting leaves it out. It is written as AUDIT.
const levelAudit = slog.LevelError + 4

// LevelName writes the level of what logEntry notes as what it is. (slog.HandlerOptions.ReplaceAttr)
func LevelName(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.LevelKey && len(groups) == 0 && a.Value.Any() == levelAudit {
		a.Value = slog.StringValue("AUDIT")
	}
	return a
}
