//go:build race

package ledger

// raced is set when the race detector makes everything ten times slower.
const raced = true
