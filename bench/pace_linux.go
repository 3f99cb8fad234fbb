package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// sharpen has the kernel wake this thread within a microsecond of what it asked for, instead of 50; the function that it
// returns takes that back.
func sharpen() func() {
	before, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) != nil {
		return func() {} // then it is late, and says by how much
	}
	return func() { unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(before), 0, 0, 0) }
}

// waitUntil returns when it is that time, or at once if that is past. The thread sleeps, not the goroutine.
func waitUntil(at time.Time) {
	for left := time.Until(at); left > 0; left = time.Until(at) {
		span := unix.NsecToTimespec(int64(left))
		unix.Nanosleep(&span, nil) // a signal ends it early
	}
}
