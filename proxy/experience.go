package proxy

import (
	"time"

	"tandem/internal/latency"
	"tandem/router"
)

// CommandKind is what sort of command a client has sent.
type CommandKind uint8

// The kinds. A transaction that comes whole is one command.
const (
	ReadCommand CommandKind = iota
	WriteCommand
	ScriptCommand
	TransactionCommand
	OtherCommand // of connections, and subscriptions
	commandKinds
)

// String names the kind as metrics do.
func (k CommandKind) String() string {
	return [commandKinds]string{"read", "write", "script", "transaction", "other"}[k]
}

// kindOf is the kind of a command.
func kindOf(c *router.Command) CommandKind {
	switch {
	case c == nil:
		return OtherCommand
	case c.IsScript():
		return ScriptCommand
	case c.Class == router.Read:
		return ReadCommand
	case c.Class == router.Write, c.Class == router.Barrier, c.Class == router.Everywhere:
		return WriteCommand
	case c.Class == router.Transaction:
		return TransactionCommand
	}
	return OtherCommand
}

// TimeAnswers has answers counted as late (Counts.Late) that take longer than a limit; 0: none is. The time is from when a
// command is put on its way to the primary until its answer is there.
func (sh *Shard) TimeAnswers(limit time.Duration) {
	sh.lock()
	defer sh.unlock()
	sh.lateAfter = int64(limit)
}

// MeasureAnswers has counted how long answers take, for TakeAnswers, or no longer.
func (sh *Shard) MeasureAnswers(on bool) {
	sh.lock()
	defer sh.unlock()
	sh.answers = nil
	if on {
		sh.answers = new(latency.Histogram)
	}
}

// TakeAnswers adds to into how long answers took since it was called last; the time is that of TimeAnswers, and commands
// that may block are left out.
func (sh *Shard) TakeAnswers(into *latency.Histogram) {
	sh.lock()
	defer sh.unlock()
	if sh.answers != nil && sh.answers.Count() > 0 {
		into.Merge(sh.answers)
		sh.answers.Reset()
	}
}

// experienced counts what a client gets of a command. The lock is held.
func (sh *Shard) experienced(r *request, failed bool) {
	sh.counts.Answers++
	kind := kindOf(r.cmd)
	sh.counts.Kinds[kind]++
	if failed {
		sh.counts.Errors++
	}
	if r.blocking != nil || r.blocked != nil {
		return
	}
	took := sh.now - r.at
	r.lane.of.timings.Commands[kind].add(took)
	if sh.answers != nil {
		sh.answers.Add(took)
	}
	if sh.lateAfter > 0 && took > sh.lateAfter {
		sh.counts.Late++
	}
}
