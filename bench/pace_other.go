//go:build !linux

package main

import "time"

// sharpen has nothing to ask of other systems: how late a request is sent is measured and printed.
func sharpen() func() { return func() {} }

// waitUntil returns when it is that time, or at once if that is past.
func waitUntil(at time.Time) { time.Sleep(time.Until(at)) }
