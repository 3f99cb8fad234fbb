// Package printed keeps in memory what a process prints or a logger writes, for those who show the end of it when something
// has gone wrong, and for tests that look into it.
package printed

import (
	"bytes"
	"sync"
)

// Text is a writer that keeps what it is given. Its zero value is empty and keeps everything. It is safe for concurrent use.
type Text struct {
	// Most is how many bytes of the end are kept; 0: all. It is set before the first Write.
	Most int

	mu   sync.Mutex
	kept []byte
}

// Write keeps a copy of p. It never fails.
func (t *Text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.Most; t.Most > 0 && over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// String is what is kept.
func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}

// Count is how often part is within what is kept.
func (t *Text) Count(part string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Count(t.kept, []byte(part))
}

// Reset forgets what is kept.
func (t *Text) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = nil
}
