package journal

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	// maxWaiting is how many events wait for a disk that cannot be written, or for who observes; of more the oldest
	// are lost.
	maxWaiting = 4096
	// maxMessage bounds what a server's own words may add to an event, in bytes.
	maxMessage = 2048
	// retryEvery is how often a disk that could not be written is tried again.
	retryEvery = time.Second
)

// Options of a journal.
type Options struct {
	// MaxBytes is the size of the file from which on a new one is begun; the one before it is kept. Default 4 MiB:
	// some 15,000 events in each.
	MaxBytes int64
	// Observe is given each event, in order and from one goroutine, once it is on disk or that was tried. Nil: nobody.
	Observe func(Event)
	// Log is told once that events cannot be written. Default: nowhere.
	Log *slog.Logger
}

// Journal is the open journal of a state directory, whose lock the caller holds.
type Journal struct {
	opt  Options
	wake chan struct{}
	end  chan struct{}
	work sync.WaitGroup

	mu      sync.Mutex // guards what follows; held for memory only, and taken after disk's
	seq     int64
	waiting []Event // not on disk yet
	news    []Event // not told to Observe yet
	closed  bool

	disk disk
}

// Open opens the journal of a directory, or begins one. A torn line at the end, which a crash leaves, is cut off. A
// directory that cannot be written is no error: events wait in memory then. Close must be called.
func Open(dir string, o Options) *Journal {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 4 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	j := &Journal{opt: o, wake: make(chan struct{}, 1), end: make(chan struct{})}
	j.disk = disk{dir: dir, max: o.MaxBytes}
	for _, e := range j.disk.read() {
		j.seq = max(j.seq, e.Seq)
	}
	j.work.Go(j.run)
	return j
}

// Add notes an event; Seq and At are set here. It waits for nothing, and keeps e.Numbers.
func (j *Journal) Add(e Event) {
	if len(e.Message) > maxMessage {
		e.Message = strings.ToValidUTF8(e.Message[:maxMessage], "") + "..."
	}
	if e.Numbers == nil {
		e.Numbers = map[string]float64{}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return
	}
	j.seq++
	e.Seq, e.At = j.seq, time.Now().UnixMilli()
	j.waiting = bounded(append(j.waiting, e))
	if j.opt.Observe != nil {
		j.news = bounded(append(j.news, e))
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Last is the Seq of the last event; 0 before the first.
func (j *Journal) Last() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.seq
}

// bounded leaves the oldest out of a list that has become too long.
func bounded(list []Event) []Event {
	if len(list) > maxWaiting {
		return append([]Event(nil), list[len(list)-maxWaiting:]...)
	}
	return list
}

// Events returns those with a Seq above after, in order and the oldest first, at most limit of them (0: all that
// there are). What is older than both files is not there any more.
func (j *Journal) Events(after int64, limit int) []Event {
	if after >= j.Last() {
		return nil // who asks every second for what is new costs no reading
	}
	j.disk.Lock() // or an event on its way there would be in both places, or in none
	defer j.disk.Unlock()
	var list []Event
	take := func(from []Event) {
		for _, e := range from {
			if e.Seq > after && (limit <= 0 || len(list) < limit) {
				list = append(list, e)
			}
		}
	}
	take(j.disk.read())
	j.mu.Lock()
	defer j.mu.Unlock()
	take(j.waiting)
	return list
}

// Close writes what waits, if that is possible, and ends the journal. What is added later is lost.
func (j *Journal) Close() error {
	j.mu.Lock()
	was := j.closed
	j.closed = true
	j.mu.Unlock()
	if was {
		return nil
	}
	close(j.end)
	j.work.Wait()
	j.disk.Lock()
	defer j.disk.Unlock()
	return j.disk.close()
}

// run brings events to disk, and tells of them, as they come.
func (j *Journal) run() {
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for ended, sick := false, false; !ended; {
		select {
		case <-j.wake:
		case <-retry.C:
		case <-j.end:
			ended = true
		}
		err := j.write()
		switch {
		case err != nil && !sick:
			j.opt.Log.Error("events cannot be written to the journal; it is tried again", "dir", j.disk.dir, "error", err)
		case err == nil && sick:
			j.opt.Log.Info("the journal can be written again", "dir", j.disk.dir)
		}
		sick = err != nil
		j.tell()
	}
}

// write brings all that waits to disk, or as much as goes.
func (j *Journal) write() error {
	j.disk.Lock()
	defer j.disk.Unlock()
	j.mu.Lock()
	batch := j.waiting
	j.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	n, err := j.disk.append(batch)
	if n > 0 {
		last := batch[n-1].Seq
		j.mu.Lock()
		for len(j.waiting) > 0 && j.waiting[0].Seq <= last { // some may have been left out meanwhile
			j.waiting = j.waiting[1:]
		}
		j.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

// tell gives Observe what is new.
func (j *Journal) tell() {
	j.mu.Lock()
	news := j.news
	j.news = nil
	j.mu.Unlock()
	for _, e := range news {
		j.opt.Observe(e)
	}
}
