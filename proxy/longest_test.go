package proxy

import (
	"testing"
	"time"
)

// What breaks the connection is avoided once that is certain, and for a time.
func TestLongest(t *testing.T) {
	now := time.Now().UnixNano()
	const mib = int64(1 << 20)
	for name, c := range map[string]struct {
		sizes   []int64 // the longest on the way at each break
		certain bool
		most    int64
	}{
		"said by the server":          {[]int64{30 * mib}, true, 30*mib - 1},
		"not yet certain":             {[]int64{30 * mib, 30 * mib}, false, 512 * mib},
		"three times in a row":        {[]int64{30 * mib, 30 * mib, 30 * mib}, false, 30*mib - 1},
		"different ones":              {[]int64{30 * mib, 40 * mib, 30 * mib, 40 * mib}, false, 512 * mib},
		"broken with nothing long":    {[]int64{30 * mib, 30 * mib, 100, 30 * mib}, false, 512 * mib},
		"nothing long is never to be": {[]int64{100, 100, 100, 100}, false, 512 * mib},
	} {
		l := longest{told: 512 * mib}
		for _, size := range c.sizes {
			l.broke(size, now, c.certain)
		}
		if got := l.most(now); got != c.most {
			t.Errorf("%s: %d bytes are sent at most, want %d", name, got, c.most)
		}
		if got := l.most(now + int64(avoidedFor) + 1); got != 512*mib {
			t.Errorf("%s: %d bytes are sent at most when that is forgotten", name, got)
		}
	}
	l := longest{told: mib}
	l.broke(5*mib, now, true)
	if got := l.most(now); got != mib {
		t.Errorf("%d bytes are sent at most, and the server says that it takes %d", got, mib)
	}
}
