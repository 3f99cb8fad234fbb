package backfill

import (
	"container/heap"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"tandem/internal/ledger"
)

// fadingPause is how long after a field's expiry its key is copied again, in ms.
const fadingPause = 50

// fading are the keys that are hashes of which some fields expire, which the secondary does not have: there they stay.
// So when the first of them expires on the primary, and nothing tells, the key is copied once more, without it.
type fading struct {
	wake chan struct{}
	// offset is the primary's clock minus ours, as it was lately.
	offset atomic.Int64

	mu    sync.Mutex // guards what follows; taken under the ledger's lock
	known map[ledger.Hash]*fadingKey
	queue fadingQueue
	// max is how many of them are remembered; dropped: there were more.
	max     int
	dropped bool
}

// fadingKey is one of them.
type fadingKey struct {
	key ledger.Key
	// at is when its next field expires, on the primary's clock, Unix ms.
	at    int64
	index int
}

func newFading(max int) *fading {
	return &fading{wake: make(chan struct{}, 1), known: map[ledger.Hash]*fadingKey{}, max: max}
}

// now is the primary's clock, Unix ms.
func (f *fading) now() int64 { return time.Now().Add(time.Duration(f.offset.Load())).UnixMilli() }

// note keeps what a copy has left out.
func (f *fading) note(it *item, r *reading) {
	// Not at once again, should the field be there still by the primary's clock.
	at := max(r.nextExpiry, f.now()) + fadingPause
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.known[it.copy.Key.Hash]
	switch {
	case r.lostExpiry == 0 && k == nil:
		return
	case r.lostExpiry == 0:
		f.forget(k)
		return
	case k != nil:
		k.at = at
		heap.Fix(&f.queue, k.index)
	case len(f.known) >= f.max:
		f.dropped = true
		return
	default:
		key := it.copy.Key
		key.Name = []byte(it.name)
		k = &fadingKey{key: key, at: at}
		f.known[key.Hash] = k
		heap.Push(&f.queue, k)
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *fading) forget(k *fadingKey) {
	delete(f.known, k.key.Hash)
	heap.Remove(&f.queue, k.index)
}

// due takes those whose time is past, and says how long it is until the next.
func (f *fading) due(now int64) (keys []ledger.Key, next time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queue) > 0 {
		k := f.queue[0]
		if k.at > now {
			return keys, min(time.Duration(k.at-now)*time.Millisecond, idle)
		}
		f.forget(k)
		keys = append(keys, k.key)
	}
	return keys, idle
}

// room reports whether there were more than are remembered, and there is room for them again. It says so once: a sweep
// is to find them.
func (f *fading) room() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.dropped || len(f.known) > f.max/2 {
		return false
	}
	f.dropped = false
	return true
}

// FieldExpiryLost says how many keys are known whose fields expire on the primary and not on the secondary, and one of them;
// more: there are others, which are not known, and are found by the sweep that is owed once there is room for them.
func (c *Copier) FieldExpiryLost() (keys int, example ledger.Key, more bool) {
	f := c.fading
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) > 0 {
		example = f.queue[0].key
	}
	return len(f.queue), example, f.dropped
}

// runFading makes keys dirty when a field of theirs has expired, until ctx ends.
func (c *Copier) runFading(ctx context.Context) {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	told := false
	for ctx.Err() == nil {
		c.fading.offset.Store(int64(c.opt.PrimaryClock()))
		if n, key, _ := c.FieldExpiryLost(); n > 0 && !told {
			told = true
			c.opt.Log.Warn("hashes have fields that expire, and the secondary has no expiry of fields: there they stay until the key is "+
				"copied again, when one has expired", "keys", n, "key", string(key.Name), "db", key.DB)
		}
		keys, next := c.fading.due(c.fading.now())
		if len(keys) > 0 {
			c.l.Lock()
			for i := range keys {
				c.l.MakeDirty(&keys[i])
			}
			c.l.Unlock()
		}
		if c.fading.room() {
			c.l.Lock()
			c.l.OweAgain("more hashes have fields that expire on one server alone than are remembered")
			c.l.Unlock()
		}
		timer.Reset(next)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-c.fading.wake:
		}
	}
}

// fadingQueue has first what is due first. (heap.Interface)
type fadingQueue []*fadingKey

func (q fadingQueue) Len() int           { return len(q) }
func (q fadingQueue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q fadingQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *fadingQueue) Push(x any) {
	k := x.(*fadingKey)
	k.index = len(*q)
	*q = append(*q, k)
}
func (q *fadingQueue) Pop() any {
	old := *q
	k := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return k
}
