package ledger

import (
	"fmt"
	"runtime/debug"
)

// Enter takes the lock and returns what gives it back:
//
//	defer l.Enter()()
//
// It is for those above whom somebody recovers from panics, or has deferred what takes the lock: a panic with the lock
// held ends the process there and then. What is half changed must not be taken for whole by who comes next, and a lock
// that nobody gives back would have everybody wait for ever, with nothing in the log.
func (l *Ledger) Enter() (leave func()) {
	l.Lock()
	return l.leave
}

func (l *Ledger) leave() {
	if v := recover(); v != nil {
		End(v)
	}
	l.Unlock()
}

// End ends the process by a panic that nobody recovers from, with the stack of the one whose value is v. It is called
// by who has recovered that, and does not return.
func End(v any) {
	why := fmt.Sprintf("%v\n\n%s", v, debug.Stack())
	go panic(why)
	select {}
}
