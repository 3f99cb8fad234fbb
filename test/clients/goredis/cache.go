package goredis

import (
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"tandem/test/clients/stage"
)

// cache reads through a client-side cache what another client writes: a value never goes backwards, and the
// latest is there as soon as the invalidation is.
func (v protocol) cache(p *stage.Player) error {
	writer := v.open(p)
	defer writer.Close()
	reader := v.open(p, func(o *redis.Options) {
		o.ClientSideCacheConfig = &redis.ClientSideCacheConfig{}
	})
	defer reader.Close()
	for n := 1; p.Going(); n++ {
		key := p.Key("k%d", n%5)
		ctx, cancel := p.Context()
		if err := writer.Set(ctx, key, n, 0).Err(); err != nil {
			cancel()
			return err
		}
		var got int
		for began := time.Now(); got != n; {
			text, err := reader.Get(ctx, key).Result()
			if err != nil {
				cancel()
				return err
			}
			before := got
			if got, err = strconv.Atoi(text); err != nil || got < before || got > n {
				cancel()
				return fmt.Errorf("%s is %q, after %d, %d was written (%v)", key, text, before, n, err)
			}
			if got != n && time.Since(began) > staleTime {
				cancel()
				return fmt.Errorf("%s is still %d in the cache %v after %d was written", key, got, staleTime, n)
			}
		}
		for range 10 { // mostly from the cache
			if text, err := reader.Get(ctx, key).Result(); err != nil || text != strconv.Itoa(n) {
				cancel()
				return fmt.Errorf("%s is %q (%v), %d was read before", key, text, err, n)
			}
		}
		cancel()
		p.Round()
	}
	return nil
}

// staleTime is how long an invalidation may take, on a loaded machine.
const staleTime = 10 * time.Second
