package backfill

import (
	"fmt"
	"time"

	"tandem/internal/ledger"
)

// A value may be more than the secondary takes in one piece: DUMP of a large collection may be longer than any string, and
// a server that is told more than it takes ends the connection, with all that is on the way. Such a value is copied by
// type, in pieces. What is left are strings, and elements, that are longer themselves: nothing of those is sent. Their key
// is named at once, for trying again shows nothing new, and is read again only when something may have changed.

// readLongAgain is how often a key is read that was too long before: the value may have become shorter. A read may cost
// the primary a walk through the whole value.
const readLongAgain = time.Minute

// sureFailures is how many failures one counts for that is sure to come again: enough that the key is named.
const sureFailures = 5

// tooLong says why a value cannot be copied.
type tooLong struct{ size, most int64 }

func (e *tooLong) Error() string {
	return fmt.Sprintf("a string of it has %d bytes, and the secondary takes %d: raise proto-max-bulk-len there, or make "+
		"the value smaller", e.size, e.most)
}

// fits reports whether the secondary takes the state of a key in one piece. The ledger's lock is held.
func (c *Copier) fits(s *ledger.State) bool {
	size := int64(len(s.Payload))
	return size <= c.opt.Longest(size)
}

// longest is how many bytes the secondary takes in one piece; size is what there is for it.
func (c *Copier) longest(size int64) int64 {
	c.l.Lock()
	defer c.l.Unlock()
	return c.opt.Longest(size)
}

// checkLengths returns an error if a command has a string that the secondary does not take.
func (c *Copier) checkLengths(commands []command) error {
	size := 0
	for _, command := range commands {
		for _, arg := range command {
			size = max(size, len(arg))
		}
	}
	if most := c.longest(int64(size)); int64(size) > most {
		return &tooLong{int64(size), most}
	}
	return nil
}

// noteLong notes of a dirty key that its value, or an element of it, was too long. The ledger's lock is held.
func noteLong(d *ledger.Dirty, long *tooLong) {
	d.Long = &ledger.Long{Bytes: long.size, Read: time.Now()}
	d.Failures = max(d.Failures, sureFailures)
}

// isTooLong reports whether a dirty key was too long when it was last read, and need not be read to know that it still
// is. The ledger's lock is held.
func (c *Copier) isTooLong(it *item) bool {
	d := it.copy.Dirty
	if d == nil || d.Long == nil || time.Since(d.Long.Read) > readLongAgain {
		return false
	}
	most := c.opt.Longest(d.Long.Bytes)
	if d.Long.Bytes <= most {
		return false
	}
	it.err = &tooLong{d.Long.Bytes, most}
	return true
}
