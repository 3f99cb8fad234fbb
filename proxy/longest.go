package proxy

import (
	"context"
	"time"

	"tandem/internal/resp"
)

// longest is how long a string the secondary takes in one piece. One that is longer would end the connection, each time
// that it is tried, and take with it all that is on the way; so it is not sent. What the server says of itself may be
// missing, or not hold for what is in between: so it is learned as well.
//
// Guarded by the shard's lock.
type longest struct {
	told int64 // what the server says, or the usual
	// learned is one less than what has cost the connection; 0: nothing has. It is forgotten after avoidedFor: what
	// broke the connection may have been something else.
	learned int64
	until   int64 // Unix nanoseconds
	// size is the longest string that was unanswered when the connection last broke, and breaks how often in a row
	// that was so.
	size   int64
	breaks int

	asked int64 // when the server was last asked, Unix nanoseconds
}

const (
	// suspectFrom is the least size that is suspected to have cost the connection.
	suspectFrom = 1 << 20
	// suspectAfter is how often in a row a connection must have broken with the same string on the way.
	suspectAfter = 3
	avoidedFor   = 10 * time.Minute
	// askAgain is how often a server is asked whether it takes longer strings by now, when there is one for it.
	askAgain = 5 * time.Second
)

// most is the longest string that may be sent.
func (l *longest) most(now int64) int64 {
	if l.learned > 0 && now > l.until {
		l.learned = 0
	}
	if l.learned > 0 {
		return min(l.told, l.learned)
	}
	return l.told
}

// broke notes that the connection broke while this was the longest string that was unanswered. It reports whether such
// strings are not sent any more.
func (l *longest) broke(size, now int64, certain bool) bool {
	if size < suspectFrom {
		l.size, l.breaks = 0, 0
		return false
	}
	if size != l.size {
		l.size, l.breaks = size, 0
	}
	if l.breaks++; l.breaks < suspectAfter && !certain {
		return false
	}
	l.size, l.breaks = 0, 0
	l.learned, l.until = size-1, now+int64(avoidedFor)
	return true
}

// Longest is how long a string the secondary takes in one piece, in bytes. Who finds one that is longer asks with it, so
// that the server is asked as well, every so often. The lock is held.
func (e *EffectLane) Longest(size int64) int64 {
	most := e.longest.most(time.Now().UnixNano())
	if size > most {
		e.askLongest()
	}
	return most
}

// tooLong reports whether an effect has a string that the secondary does not take. The lock is held.
func (e *EffectLane) tooLong(size int) bool {
	if int64(size) <= e.longest.most(e.sh.now) {
		return false
	}
	e.askLongest()
	return true
}

// longestIn is the longest string of an effect's frames, 0 where none can be of the size that matters.
func longestIn(frames []byte) int {
	if len(frames) < suspectFrom {
		return 0
	}
	return resp.Longest(frames)
}

// askLongest asks the server anew, every so often, for it may have been told to take more. The lock is held.
func (e *EffectLane) askLongest() {
	now := time.Now().UnixNano()
	if !e.up || now-e.longest.asked < int64(askAgain) {
		return
	}
	e.longest.asked = now
	e.work.Go(func() {
		ctx, cancel := context.WithTimeout(e.ctx, askAgain)
		defer cancel()
		told, err := e.inst.Longest(ctx)
		if err != nil {
			return // its connection is looked after elsewhere
		}
		e.sh.lock()
		e.longest.told = told
		e.sh.unlock()
	})
}

// tooLongReply is how a server's answer begins to what announces more than it takes. It ends the connection then.
const tooLongReply = "-ERR Protocol error: invalid bulk length"

// learnLongest takes in that the connection has broken, or is about to, with a string of this size unanswered. certain:
// the server has said that it is too long. The lock is held.
func (e *EffectLane) learnLongest(size int64, certain bool) {
	if e.ctx.Err() != nil {
		return // by us
	}
	if e.longest.broke(size, time.Now().UnixNano(), certain) {
		e.sh.opt.Log.Warn("the secondary ends the connection at a value of this size: such values are not sent for a time",
			"instance", e.inst.String(), "bytes", size, "for", avoidedFor)
	}
}
