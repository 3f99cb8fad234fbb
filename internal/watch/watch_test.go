package watch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"tandem/internal/admin"
	"tandem/internal/history"
	"tandem/internal/journal"
	"tandem/internal/status"
	"tandem/internal/terminal"
)

var noon = time.Date(2026, 5, 31, 12, 0, 0, 0, time.UTC)

// busy is a migration in the middle of its backfill, with something in the way.
func busy() answer {
	s := status.New()
	s.Phase, s.UptimeS, s.Sessions = status.Backfill, 200, 1234
	s.Blockers = []status.Blocker{
		{Code: "sweep_owed", Message: "not all keys have been compared yet (the migration begins)", Remedy: "wait for it; status shows its progress"},
		{Code: "secondary_down", Message: "target new.internal:6379 is not connected: connection refused", Remedy: "bring it back; what was missed is copied then"},
	}
	s.Warnings = []status.Blocker{{Code: "eviction", Message: "the target evicts keys", Remedy: "set maxmemory-policy noeviction"}}
	s.Backfill = status.BackfillStatus{State: status.Running, KeysTotal: status.Known[int64](1000000), KeysScanned: 523000, KeysCopied: 500000,
		BytesCopied: 3 << 20, KeysPerS: status.Known(81234.0), Percent: status.Known(52.3), EtaS: status.Known[int64](6)}
	s.DirtyKeys, s.UnsettledWrites, s.LagMs, s.LagBytes = 102, 4, status.Known(3.25), 12345
	s.Effects = status.EffectsStatus{Forwarded: 7654321, Mismatched: 1, Dropped: 2}
	s.Source = status.InstanceStatus{Address: "old.internal:6379", Connected: true, Version: "redis 7.0.15", ClockOffsetMs: status.Known(-0.25)}
	s.Target = status.InstanceStatus{Address: "new.internal:6379"}
	s.Duplicates = status.DuplicatesStatus{Found: 9, Overwritten: 4, Skipped: 5}
	a := answer{status: s}
	for i := range 100 {
		a.history = append(a.history, history.Sample{At: noon.UnixMilli() + int64(i-100)*1000, ReadsPerS: 1000 + float64(i), WritesPerS: 500, FailedPerS: 1,
			SourceP50Ms: 0.25, SourceP95Ms: 0.5, SourceP99Ms: 12.5, TargetP50Ms: math.NaN(), TargetP95Ms: math.NaN(), TargetP99Ms: math.NaN(),
			LagMs: float64(i % 7), DirtyKeys: 100, CopiesPerS: 80000})
	}
	for i := range int64(60) {
		a.events = append(a.events, journal.Event{Seq: i + 1, At: noon.UnixMilli() - 60_000 + i*1000, Kind: journal.Step, Name: fmt.Sprintf("step%d", i+1), State: journal.Done, Message: "it was done"})
	}
	return a
}

// watching is a view of these many columns and rows that has had an answer.
func watching(columns, rows int, look terminal.Look, a answer) *model {
	m := newModel("http://127.0.0.1:6390", look, func(int64, int64) answer { return a })
	m.now = func() time.Time { return noon }
	m.began = noon
	m.Update(tea.WindowSizeMsg{Width: columns, Height: rows})
	m.Update(a)
	return m
}

func press(m *model, keys ...tea.Key) {
	for _, k := range keys {
		m.Update(tea.KeyPressMsg(k))
	}
}

// in is an answer in another state.
func in(change func(*status.Status)) answer {
	a := busy()
	a.status.Blockers, a.status.Warnings = nil, nil
	a.status.Target.Connected, a.status.Target.Version = true, "valkey 8.1.0"
	change(&a.status)
	return a
}

// screens are those that a migration comes by.
func screens() map[string]answer {
	return map[string]answer{
		"backfill": busy(),
		"nothing":  {status: status.New()},
		"synced": in(func(s *status.Status) {
			s.Phase, s.ReadyToCutover, s.Backfill.State = status.Synced, true, status.Done
			s.Verify = status.VerifyStatus{State: status.Done, Compared: 1000000, FinishedAt: status.Known(noon.UnixMilli())}
		}),
		"verify": in(func(s *status.Status) {
			s.Phase = status.Synced
			s.Verify = status.VerifyStatus{State: status.Running, Mode: "full", Percent: status.Known(40.0), Compared: 400, Different: 2}
		}),
		"paused": in(func(s *status.Status) { s.Backfill.State = status.Paused }),
		"two-way": in(func(s *status.Status) {
			s.Phase, s.TwoWay = status.TwoWay, status.TwoWayStatus{State: status.Running, Sessions: 7, Conflicts: 3}
		}),
		"reversed": in(func(s *status.Status) {
			s.Phase, s.Primary, s.Backfill = status.Reversed, "target", status.BackfillStatus{State: status.Idle}
			s.Cutover = status.CutoverStatus{At: status.Known(noon.UnixMilli()), LastPauseMs: status.Known(2.5), TrialUntil: status.Known(noon.UnixMilli() + 60000)}
		}),
		"finished":                   in(func(s *status.Status) { s.Phase, s.Primary = status.Finished, "target" }),
		"a phase of another version": in(func(s *status.Status) { s.Phase = "divided" }),
	}
}

func TestNothingIsWiderOrHigherThanTheTerminal(t *testing.T) {
	for name, a := range screens() {
		for _, size := range [][2]int{{1, 1}, {5, 3}, {20, 10}, {40, 24}, {77, 24}, {78, 24}, {80, 24}, {120, 40}, {149, 30}, {150, 50}, {200, 60}, {400, 100}} {
			for _, look := range []terminal.Look{{}, {Unicode: true}, {Live: true, Color: true, Unicode: true}} {
				m := watching(size[0], size[1], look, a)
				for _, lost := range []error{nil, errors.New("connection refused: " + strings.Repeat("long ", 40))} {
					m.failure = lost
					m.scrollTo(3)
					lines := m.screen()
					if len(lines) != size[1] {
						t.Errorf("%s at %v: %d lines", name, size, len(lines))
					}
					for _, line := range lines {
						if w := ansi.StringWidth(line); w > size[0] {
							t.Errorf("%s at %v: %d columns: %s", name, size, w, line)
						}
						if !look.Color && strings.Contains(line, "\x1b") {
							t.Errorf("%s: an escape without colour: %q", name, line)
						}
						if !look.Unicode && strings.IndexFunc(line, func(r rune) bool { return r > 127 }) >= 0 {
							t.Errorf("%s: not ASCII: %q", name, line)
						}
					}
				}
			}
		}
	}
}

func TestTheScreenSaysWhatTheStatusSays(t *testing.T) {
	for name, want := range map[string][]string{
		"backfill": {"old.internal:6379 → new.internal:6379", "up 3 min 20 s", "✓ passthrough ── ● backfill ── ○ synced ── ○ reversed ── ○ finished",
			"The source answers, the target is being filled.", "Next: synced, by itself", "· sweep_owed  not all keys", "! secondary_down  target", "→ bring it back",
			"? warning: eviction", "52.3 %   6.0 s left   81,234 keys/s", "523,000 of 1,000,000 keys looked at", "500,000 copied, 3.00 MiB", "80,000/s",
			"3.25 ms", "12.1 KiB", "102", "7,654,321 forwarded, 1 answered otherwise, 2 not sent", "1,234", "1,099/s", "500/s", "0.25 ms  0.50 ms  12.5 ms",
			"answers, redis 7.0.15, clock -0.3 ms", "is being filled, NOT CONNECTED", "9 keys were on the target before: 4 overwritten, 5\n", "step60 done  it was done"},
		"nothing":                    {"● passthrough", "Next: tandem start", "Nothing has been copied yet.", "waits", "Nothing has happened yet."},
		"synced":                     {"● synced", "Next: tandem verify, then tandem cutover", "Done: 523,000 keys looked at, 500,000 copied, 3.00", "✓ 1,000,000 keys compared, 0 different"},
		"verify":                     {"40.0 %   running   full", "400 keys compared, 2 different", "Next: remove what blocks the cutover"},
		"paused":                     {"52.3 %   paused", "Next: tandem resume"},
		"two-way":                    {"✓ synced ── ● two-way", "3 two-way conflicts decided", "7 of the sessions at the target's address"},
		"reversed":                   {"● reversed", "clients waited 2.50 ms", "on trial until", "is kept equal, redis 7.0.15", "answers, valkey 8.1.0", "No sweep is owed or running."},
		"finished":                   {"✓ reversed ── ● finished", "is left alone", "The target alone is served."},
		"a phase of another version": {"divided", "The source answers."},
	} {
		m := watching(110, 200, terminal.Look{Unicode: true}, screens()[name])
		text := strings.Join(m.screen(), "\n")
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q is not in\n%s", name, part, text)
			}
		}
	}
}

// In 40 columns the phases do not fit: the one that counts does.
func TestANarrowScreen(t *testing.T) {
	text := strings.Join(watching(40, 100, terminal.Look{}, busy()).screen(), "\n")
	for _, part := range []string{"\n[backfill], then synced\n", "! secondary_down  target\n  new.internal:6379 is not connected:\n  connection refused\n  -> bring it back; what was missed is\n     copied then\n", "\nBackfill ---", "#####"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
}

func TestWhatDoesNotFitIsScrolledTo(t *testing.T) {
	m := watching(80, 24, terminal.Look{Unicode: true}, busy())
	first := func() string { return m.screen()[2] }
	if last := m.screen()[23]; !strings.HasPrefix(last, "q quit   ↑ ↓ scroll   tab next part") || !strings.Contains(last, "lines below") {
		t.Errorf("the last line is %q", last)
	}
	press(m, tea.Key{Code: tea.KeyDown}, tea.Key{Code: 'j', Text: "j"})
	if !strings.HasPrefix(first(), "Next: synced") {
		t.Errorf("two lines down: %q", first())
	}
	press(m, tea.Key{Code: tea.KeyTab})
	if !strings.HasPrefix(first(), "Backfill ──") {
		t.Errorf("at the next part: %q", first())
	}
	press(m, tea.Key{Code: tea.KeyTab}, tea.Key{Code: tea.KeyTab, Mod: tea.ModShift})
	if !strings.HasPrefix(first(), "Backfill ──") {
		t.Errorf("there and back: %q", first())
	}
	press(m, tea.Key{Code: tea.KeyEnd})
	if last := m.screen()[22]; !strings.Contains(last, "step11 done") || strings.Contains(m.screen()[23], "below") {
		t.Errorf("at the end: %q, %q", last, m.screen()[23])
	}
	press(m, tea.Key{Code: tea.KeyDown}, tea.Key{Code: tea.KeyPgUp}, tea.Key{Code: tea.KeyPgDown})
	if last := m.screen()[22]; !strings.Contains(last, "step11 done") {
		t.Errorf("a page up and down: %q", last)
	}
	press(m, tea.Key{Code: tea.KeyTab}) // behind the last part is the first
	if !strings.Contains(first(), "● backfill") || m.top != 0 {
		t.Errorf("around: %q", first())
	}
	press(m, tea.Key{Code: tea.KeyEnd})
	m.Update(tea.WindowSizeMsg{Width: 200, Height: 120}) // now it fits
	if last := m.screen()[119]; m.top != 0 || last != "q quit" {
		t.Errorf("on a large screen: %d, %q", m.top, last)
	}
}

func TestQuitting(t *testing.T) {
	for _, key := range []tea.Key{{Code: 'q', Text: "q"}, {Code: 'c', Mod: tea.ModCtrl}, {Code: tea.KeyEscape}} {
		_, do := watching(80, 24, terminal.Look{}, busy()).Update(tea.KeyPressMsg(key))
		if do == nil {
			t.Fatalf("%v does nothing", key)
		}
		if _, quits := do().(tea.QuitMsg); !quits {
			t.Errorf("%v does not quit", key)
		}
	}
}

func TestATandemThatIsGoneAndComesBack(t *testing.T) {
	m := watching(100, 30, terminal.Look{}, busy())
	now := noon
	m.now = func() time.Time { return now }
	text := func() string { return strings.Join(m.screen(), "\n") }
	now = noon.Add(14 * time.Second)
	m.Update(answer{err: errors.New("the admin address does not answer: connection refused")})
	for _, part := range []string{"not reachable", "The admin address does not answer: connection refused.\nWhat is shown is of 12:00:00, 14.0 s ago.", "[backfill]"} {
		if !strings.Contains(text(), part) {
			t.Errorf("%q is not in\n%s", part, text())
		}
	}
	a := busy()
	a.status.UptimeS, a.history, a.events = 1, a.history[:1], a.events[:1]
	m.Update(a)
	if strings.Contains(text(), "not reachable") || !strings.Contains(text(), "up 1.0 s") {
		t.Errorf("it is back:\n%s", text())
	}
	if len(m.history) != 0 || len(m.events) != 0 {
		t.Error("what the process before had told is still there")
	}
	if !m.asking {
		t.Error("the new process is not asked at once for what it knows")
	}
	m.asking = false
	asked := false
	m.ask = func(after, seq int64) answer {
		asked = after == 0 && seq == 0
		return a
	}
	if do := m.question(); do == nil || do() == nil || !asked {
		t.Error("the new process was not asked for all it knows")
	}
	if m.question() != nil {
		t.Error("it is asked while a question is under way")
	}
	// A question that hangs is no answer either.
	now = now.Add(quiet + time.Second)
	if !strings.Contains(text(), "Tandem does not answer at http://127.0.0.1:6390.\nWhat is shown is of 12:00:14, 4.0 s ago.") {
		t.Errorf("nothing came for %s:\n%s", quiet, text())
	}
}

func TestATandemThatWasNeverThere(t *testing.T) {
	m := newModel("http://127.0.0.1:6390", terminal.Look{}, nil)
	m.began, m.now = noon, func() time.Time { return noon }
	if text := strings.Join(m.screen(), "\n"); !strings.Contains(text, "Asking http://127.0.0.1:6390 ...") {
		t.Errorf("at first:\n%s", text)
	}
	m.now = func() time.Time { return noon.Add(5 * time.Second) }
	m.Update(answer{err: errors.New("connection refused")})
	if text := strings.Join(m.screen(), "\n"); !strings.Contains(text, "Connection refused.\nIs tandem serve running there? It is asked again each second, for 5.0 s now.") {
		t.Errorf("after a while:\n%s", text)
	}
}

// A key's or a client's name may hold what a terminal obeys.
func TestWhatServersSayIsOnlyText(t *testing.T) {
	a := busy()
	const evil = "\x1b[2J\x1b]0;title\x07\r\n\u202e"
	a.status.Blockers[1].Message += evil
	a.status.Blockers[1].Code += evil
	a.status.Source.Version += evil
	a.status.Source.Address += evil
	a.status.Duplicates.List = evil
	a.events[59].Message += evil
	a.events[59].Name += evil
	for _, columns := range []int{60, 100, 200} {
		m := watching(columns, 100, terminal.Look{Unicode: true}, a)
		lines := m.screen()
		if len(lines) != 100 {
			t.Errorf("%d lines", len(lines))
		}
		if text := strings.Join(lines, ""); strings.ContainsAny(text, "\x1b\x07\r\n\u202e") {
			t.Errorf("%q", text)
		}
	}
}

func TestOnlyTheLastIsKept(t *testing.T) {
	m := watching(80, 24, terminal.Look{}, busy())
	for i := range 10 {
		a := busy()
		for n := range a.history {
			a.history[n].At += int64(i+1) * 100_000
		}
		m.Update(a)
	}
	if len(m.history) != keptSamples || len(m.events) != keptEvents || m.history[keptSamples-1].At != noon.UnixMilli()-1000+1_000_000 {
		t.Errorf("%d samples, %d events", len(m.history), len(m.events))
	}
}

// A process that was started anew is known by its age, though it may be older by then than the one before had been.
func TestAnotherProcessIsKnownByItsAge(t *testing.T) {
	for _, c := range []struct {
		before, pause, after int64 // seconds
		another              bool
	}{{200, 1, 201, false}, {200, 1, 200, false}, {200, 14, 1, true}, {5, 100, 60, true}, {5, 100, 105, false}, {5, 100, 100, false}} {
		m := watching(80, 24, terminal.Look{}, in(func(s *status.Status) { s.UptimeS = c.before }))
		m.now = func() time.Time { return noon.Add(time.Duration(c.pause) * time.Second) }
		if got := m.take(in(func(s *status.Status) { s.UptimeS = c.after })); got != c.another || (len(m.history) == 0) != c.another {
			t.Errorf("%+v: %v, %d samples", c, got, len(m.history))
		}
	}
}

// A token that is wrong from the first will not become right; one that was changed meanwhile is said.
func TestAccessThatIsRefused(t *testing.T) {
	denied := answer{err: fmt.Errorf("the token is missing or wrong: %w", admin.ErrUnauthorized)}
	m := newModel("http://there", terminal.Look{}, nil)
	if _, do := m.Update(denied); do == nil || m.denied == nil {
		t.Error("it is waited for")
	}
	m = watching(100, 24, terminal.Look{}, busy())
	if _, do := m.Update(denied); do != nil || m.denied != nil || !strings.Contains(strings.Join(m.screen(), "\n"), "The token is missing or wrong") {
		t.Errorf("after a while:\n%s", strings.Join(m.screen(), "\n"))
	}
}

// partial is a tandem of another version, which tells the status alone.
type partial struct{ hang bool }

func (p partial) Status(ctx context.Context) (status.Status, error) {
	if p.hang {
		<-ctx.Done()
		return status.Status{}, ctx.Err()
	}
	return status.New(), nil
}
func (partial) History(context.Context, int64) (history.Series, error) {
	return nil, errors.New("there is nothing at /api/v1/history")
}
func (partial) LastEvents(context.Context, int64, int) ([]journal.Event, error) {
	return nil, errors.New("there is nothing at /api/v1/events")
}
func (partial) String() string { return "http://old" }

func TestATandemThatTellsLess(t *testing.T) {
	if a := ask(t.Context(), partial{}, 0, 0); a.err != nil || a.status.Phase != status.Passthrough {
		t.Errorf("%+v", a)
	}
	ended, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if a := ask(ended, partial{hang: true}, 0, 0); a.err == nil || a.err.Error() != "no answer within 5s" {
		t.Errorf("%v", a.err)
	}
}
