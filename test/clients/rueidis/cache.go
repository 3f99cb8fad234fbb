package rueidis

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"tandem/test/clients/stage"
)

const (
	// staleTime is how long an invalidation may take, on a loaded machine.
	staleTime = 10 * time.Second
	// keepTime is how long the client may keep a value that is not invalidated: longer than the test lasts.
	keepTime = 10 * time.Minute
)

// cache reads through the client-side cache what another client writes: a value never goes backwards, and the
// latest is there as soon as the invalidation is.
func cache(p *stage.Player, c rueidis.Client) error {
	writer, err := protocol(3).open(p)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer writer.Close()
	hits := 0
	for n := int64(1); p.Going(); n++ {
		key := p.Key("k%d", n%5)
		ctx, cancel := p.Context()
		if err := writer.Do(ctx, writer.B().Set().Key(key).Value(fmt.Sprint(n)).Build()).Error(); err != nil {
			cancel()
			return err
		}
		err := fresh(ctx, c, key, n)
		for i := 0; i < 10 && err == nil; i++ {
			r := c.DoCache(ctx, c.B().Get().Key(key).Cache(), keepTime)
			var got int64
			if got, err = r.AsInt64(); err == nil && got != n {
				err = fmt.Errorf("%s is %d, %d was read before", key, got, n)
			}
			if r.IsCacheHit() {
				hits++
			}
		}
		cancel()
		if err != nil {
			return err
		}
		p.Round()
	}
	if rounds := p.Round(); int64(hits) < rounds {
		return fmt.Errorf("%d reads out of the cache in %d rounds: tracking does not work", hits, rounds)
	}
	return nil
}

// fresh reads a key until it has a value.
func fresh(ctx context.Context, c rueidis.Client, key string, want int64) error {
	last := int64(0)
	for began := time.Now(); last != want; {
		got, err := c.DoCache(ctx, c.B().Get().Key(key).Cache(), keepTime).AsInt64()
		switch {
		case err != nil:
			return err
		case got < last || got > want:
			return fmt.Errorf("%s is %d, after %d, and %d was written", key, got, last, want)
		case got != want && time.Since(began) > staleTime:
			return fmt.Errorf("%s is still %d in the cache %v after %d was written", key, got, staleTime, want)
		}
		last = got
	}
	return nil
}

// cacheMany reads several keys at once through the cache, hashes among them, that it writes itself.
func cacheMany(p *stage.Player, c rueidis.Client) error {
	for n := int64(1); p.Going(); n++ {
		ctx, cancel := p.Context()
		err := c.Do(ctx, c.B().Hset().Key(p.Key("hash")).FieldValue().FieldValue("n", fmt.Sprint(n)).Build()).Error()
		if err == nil {
			err = c.Do(ctx, c.B().Set().Key(p.Key("value")).Value(fmt.Sprint(n)).Build()).Error()
		}
		for began := time.Now(); err == nil; {
			results := c.DoMultiCache(ctx, rueidis.CT(c.B().Get().Key(p.Key("value")).Cache(), keepTime),
				rueidis.CT(c.B().Hget().Key(p.Key("hash")).Field("n").Cache(), keepTime))
			var value, field int64
			if value, err = results[0].AsInt64(); err != nil {
				break
			}
			if field, err = results[1].AsInt64(); err != nil || value == n && field == n {
				break
			}
			if time.Since(began) > staleTime {
				err = fmt.Errorf("still %d and %d in the cache %v after %d was written", value, field, staleTime, n)
			}
		}
		cancel()
		if err != nil {
			return err
		}
		p.Round()
	}
	return nil
}
