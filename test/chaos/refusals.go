package chaos

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// refusals are the errors that clients were answered. What a well-behaved client sends can be refused for the state that a
// server or the program is in, and for nothing else: any other error says that somebody has mistaken its connection
// for another.
type refusals struct {
	mu     sync.Mutex
	counts map[string]int // by text, with its numbers and addresses left out
	odd    []string
}

// expected begins the errors that the faults lead to.
var expected = []string{"ERR tandem: ", "OOM ", "EXECABORT ", "LOADING "}

// varying is what differs between errors of one kind.
var varying = regexp.MustCompile(`[0-9][0-9.:]*(ms|s)?|\(.*`)

func newRefusals() *refusals { return &refusals{counts: map[string]int{}} }

// note counts an answer. after is what a client that only sends what a server takes has sent and been answered lately, nil of
// any other.
func (f *refusals) note(text string, after []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[strings.TrimSpace(varying.ReplaceAllString(text, "#"))]++
	if after != nil && !slices.ContainsFunc(expected, func(prefix string) bool { return strings.HasPrefix(text, prefix) }) {
		f.odd = append(f.odd, fmt.Sprintf("a client was answered -%s, after\n    %s", text, strings.Join(after, "\n    ")))
	}
}

// wrong are the answers that nothing explains.
func (f *refusals) wrong() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.odd)
}

// report is how often which error was answered, to clients that only send what a server takes or to others.
func (f *refusals) report() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for _, text := range slices.Sorted(maps.Keys(f.counts)) {
		lines = append(lines, fmt.Sprintf("  %5d times %.120s", f.counts[text], text))
	}
	return strings.Join(lines, "\n")
}
