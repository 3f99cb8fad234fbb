package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"tandem/internal/history"
	"tandem/internal/status"
)

const (
	// liveEvery is how often watchers are told.
	liveEvery = time.Second
	// liveOverlap is how much of the history each message repeats: who connects between two of them misses none.
	liveOverlap = 5 * time.Second
	// maxWatchers may be connected at once: far below maxConnections, so that steps always find a place.
	maxWatchers = 64
	// liveTimeout is how long a watcher may take to accept a message before it is dropped.
	liveTimeout = 5 * time.Second
)

// liveMessage is what watchers are told each second, the same for all.
type liveMessage struct {
	Status  status.Status  `json:"status"`
	Clients status.Clients `json:"clients"`
	// History are the last few samples.
	History history.Series `json:"history"`
	// LastEvent and CheckedAt say when there is something new to ask for: events, a precheck.
	LastEvent int64                  `json:"last_event"`
	CheckedAt status.Optional[int64] `json:"checked_at"`
}

// live tells all who watch how the migration fares. One goroutine asks the Controller for all of them, and only while
// somebody watches; a watcher that does not keep up is dropped, and its page connects again.
type live struct {
	controller Controller

	mu       sync.Mutex
	watchers map[*watcher]struct{}
	ended    bool
	wake     chan struct{} // somebody has come, or may not stay

	// may tells whether who has sent a request may ask still; it is asked before each message.
	may func(*http.Request) bool
}

// watcher is one page that is open.
type watcher struct {
	// messages has room for one more than the one being written; it is closed when the watcher is dropped.
	messages chan []byte
}

func newLive(c Controller) *live {
	return &live{controller: c, watchers: map[*watcher]struct{}{}, wake: make(chan struct{}, 1), may: func(*http.Request) bool { return true }}
}

// run tells the watchers until ctx ends, and then sends them away.
func (l *live) run(ctx context.Context) {
	defer endInPanic()
	defer l.end()
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-tick.C:
		}
		l.mu.Lock()
		watched := len(l.watchers) > 0
		l.mu.Unlock()
		if watched {
			l.tell(l.message(time.Now()))
		}
	}
}

// message is one event of text/event-stream.
func (l *live) message(now time.Time) []byte {
	c := l.controller
	m := liveMessage{Status: c.Status(), Clients: c.Clients(), History: c.History(now.Add(-liveOverlap).UnixMilli()),
		LastEvent: c.LastEvent(), CheckedAt: c.Checked().At}
	body, err := json.Marshal(m)
	if err != nil {
		body = []byte(`{"error":"the status could not be written as JSON"}`)
	}
	return append(append([]byte("data: "), body...), "\n\n"...)
}

func (l *live) tell(message []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.watchers {
		select {
		case w.messages <- message:
		default:
			l.drop(w)
		}
	}
}

// drop ends a watcher. The lock is held.
func (l *live) drop(w *watcher) {
	delete(l.watchers, w)
	close(w.messages)
}

// enter takes in a watcher; nil if there are too many, or the server ends.
func (l *live) enter() *watcher {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || len(l.watchers) >= maxWatchers {
		return nil
	}
	w := &watcher{messages: make(chan []byte, 1)}
	l.watchers[w] = struct{}{}
	l.tellNow()
	return w
}

// tellNow has the watchers told before it is time.
func (l *live) tellNow() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *live) leave(w *watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, there := l.watchers[w]; there {
		l.drop(w)
	}
}

// end sends all away; none comes any more.
func (l *live) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for w := range l.watchers {
		l.drop(w)
	}
}

// serve is GET /api/v1/live: server-sent events until the watcher goes, is too slow, may not ask any more, or the server
// ends.
func (l *live) serve(w http.ResponseWriter, r *http.Request) {
	me := l.enter()
	if me == nil {
		writeError(w, http.StatusServiceUnavailable, "too many watch already, or tandem is ending")
		return
	}
	defer l.leave(me)
	connection := http.NewResponseController(w)
	// The request is here, whole. Without this its deadline would end the stream.
	_ = connection.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // for a proxy in between that would hold it back
	w.WriteHeader(http.StatusOK)
	for {
		select {
		case <-r.Context().Done():
			return
		case message, more := <-me.messages:
			if !more || !l.may(r) {
				return
			}
			_ = connection.SetWriteDeadline(time.Now().Add(liveTimeout))
			if _, err := w.Write(message); err != nil || connection.Flush() != nil {
				return
			}
		}
	}
}
