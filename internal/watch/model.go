package watch

import (
	"errors"
	"time"

	tea "charm.land/bubbletea/v2"

	"tandem/internal/admin"
	"tandem/internal/history"
	"tandem/internal/journal"
	"tandem/internal/status"
	"tandem/internal/terminal"
)

// model is what is known of the migration, and how it is looked at.
type model struct {
	address string
	look    terminal.Look
	now     func() time.Time
	ask     func(after, seq int64) answer

	width, height int
	top           int // the first line that is shown of what scrolls

	asking  bool
	began   time.Time // when the view began
	heard   time.Time // when the last answer came; zero: there was none
	failure error     // of the last question; nil: it was answered
	denied  error     // access was refused from the first: there is nothing to wait for

	status  status.Status
	history history.Series
	events  []journal.Event // oldest first
}

func newModel(address string, look terminal.Look, ask func(after, seq int64) answer) *model {
	return &model{address: address, look: look, now: time.Now, ask: ask, began: time.Now(), width: 80, height: 24}
}

// tick comes each second.
type tick struct{}

func nextTick() tea.Cmd { return tea.Tick(interval, func(time.Time) tea.Msg { return tick{} }) }

// Init asks for the first time. (tea.Model)
func (m *model) Init() tea.Cmd { return tea.Batch(m.question(), nextTick()) }

// question asks, if no question is under way: one that nobody answers must not have others wait behind it.
func (m *model) question() tea.Cmd {
	if m.asking {
		return nil
	}
	m.asking = true
	var after, seq int64
	if n := len(m.history); n > 0 {
		after = m.history[n-1].At
	}
	if n := len(m.events); n > 0 {
		seq = m.events[n-1].Seq
	}
	return func() tea.Msg { return m.ask(after, seq) }
}

// Update takes in what has happened. (tea.Model)
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tick:
		return m, tea.Batch(m.question(), nextTick())
	case answer:
		m.asking = false
		if errors.Is(msg.err, admin.ErrUnauthorized) && m.heard.IsZero() {
			m.denied = msg.err
			return m, tea.Quit
		}
		if another := m.take(msg); another {
			return m, m.question()
		}
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	}
	m.scrollTo(m.top) // there may be less to show now
	return m, nil
}

// uptimeSlack is how many seconds a process may seem younger than it should be: its uptime is in whole seconds, and an answer
// takes its time.
const uptimeSlack = 3 + int64(askTimeout/time.Second)

// take takes in an answer. If it comes from another process than the one before, that has a history of its own, and perhaps
// another journal: it is to be asked for all of them.
func (m *model) take(a answer) (another bool) {
	m.failure = a.err
	if a.err != nil {
		return false
	}
	aged := int64(m.now().Sub(m.heard) / time.Second)
	if another = !m.heard.IsZero() && a.status.UptimeS < m.status.UptimeS+aged-uptimeSlack; another {
		m.history, m.events = nil, nil
		a.history, a.events = nil, nil
	}
	m.heard, m.status = m.now(), a.status
	m.history = last(append(m.history, a.history...), keptSamples)
	m.events = last(append(m.events, a.events...), keptEvents)
	return another
}

// last leaves the oldest out of a list that has become too long.
func last[S ~[]E, E any](list S, most int) S {
	if over := len(list) - most; over > 0 {
		return append(S(nil), list[over:]...)
	}
	return list
}

// key does what a key is for.
func (m *model) key(key string) tea.Cmd {
	page := max(1, m.room()-1)
	switch key {
	case "q", "esc", "ctrl+c":
		return tea.Quit
	case "ctrl+z":
		if stoppable() {
			return tea.Suspend
		}
	case "ctrl+l":
		return tea.ClearScreen
	case "up", "k":
		m.scrollTo(m.top - 1)
	case "down", "j", "enter":
		m.scrollTo(m.top + 1)
	case "pgup", "b":
		m.scrollTo(m.top - page)
	case "pgdown", "f", "space":
		m.scrollTo(m.top + page)
	case "home", "g":
		m.scrollTo(0)
	case "end", "G":
		m.scrollTo(len(m.body().lines))
	case "tab":
		m.nextPart()
	case "shift+tab":
		m.partBefore()
	}
	return nil
}

// nextPart scrolls to the part below, and from the last one, or where all is to be seen, to the top.
func (m *model) nextPart() {
	was := m.top
	for _, at := range m.body().parts {
		if at > m.top {
			m.scrollTo(at)
			break
		}
	}
	if m.top == was {
		m.scrollTo(0)
	}
}

// partBefore scrolls to the part above.
func (m *model) partBefore() {
	parts := m.body().parts
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i] < m.top {
			m.scrollTo(parts[i])
			return
		}
	}
	m.scrollTo(0)
}

// scrollTo shows what scrolls from a line on, as far as there is more than fits.
func (m *model) scrollTo(line int) {
	m.top = max(0, min(line, len(m.body().lines)-m.room()))
}

// stale tells whether what is shown is old, or was never heard.
func (m *model) stale() bool {
	return m.failure != nil || m.now().Sub(m.since()) > quiet
}

// since is when the last answer came, or else when the first one was asked for.
func (m *model) since() time.Time {
	if m.heard.IsZero() {
		return m.began
	}
	return m.heard
}
