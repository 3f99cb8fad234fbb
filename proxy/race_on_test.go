//go:build race

package proxy

// raced is set when the race detector is there, with which a sync.Pool throws away some of what it is given, at random.
const raced = true
