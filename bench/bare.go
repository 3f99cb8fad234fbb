package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"golang.org/x/sync/errgroup"
)

// scanCount is the COUNT of the bare loop's SCAN: a page is one round trip of a worker.
const scanCount = 1000

// pagesAhead is how many scanned pages may wait for a worker: enough to keep all busy, and no more.
const pagesAhead = 4

// copyBare is the yardstick of a backfill: the least that a program can do to copy a keyspace of db 0 with
// SCAN, DUMP and RESTORE. It has no versions, no order with writes, no retries and no progress; a key that
// changes meanwhile is copied wrong. It returns the number of keys restored.
//
// One connection scans; each worker has one to read and one to write.
func copyBare(ctx context.Context, source, target string, workers int) (int64, error) {
	var copied atomic.Int64
	pages := make(chan []string, pagesAhead)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(pages)
		client, err := dial(source)
		if err != nil {
			return err
		}
		defer client.Close()
		return scanPages(ctx, client, pages)
	})
	for range workers {
		g.Go(func() error {
			from, err := dial(source)
			if err != nil {
				return err
			}
			defer from.Close()
			to, err := dial(target)
			if err != nil {
				return err
			}
			defer to.Close()
			for page := range pages {
				n, err := copyPage(ctx, from, to, page)
				copied.Add(int64(n))
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := g.Wait()
	return copied.Load(), err
}

// dial opens one connection as plain as rueidis makes them: RESP2, no client-side cache, no retries.
func dial(addr string) (rueidis.Client, error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{addr}, ForceSingleClient: true, PipelineMultiplex: -1,
		DisableCache: true, DisableRetry: true, AlwaysRESP2: true,
		ConnWriteTimeout: time.Minute,
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", addr, err)
	}
	return client, nil
}

func scanPages(ctx context.Context, client rueidis.Client, pages chan<- []string) error {
	for cursor := uint64(0); ; {
		entry, err := client.Do(ctx, client.B().Scan().Cursor(cursor).Count(scanCount).Build()).AsScanEntry()
		if err != nil {
			return fmt.Errorf("SCAN: %w", err)
		}
		select {
		case pages <- entry.Elements:
		case <-ctx.Done():
			return ctx.Err()
		}
		if cursor = entry.Cursor; cursor == 0 {
			return nil
		}
	}
}

// copyPage reads the expiry and the value of each key in one round trip and restores them in another.
func copyPage(ctx context.Context, from, to rueidis.Client, keys []string) (restored int, err error) {
	reads := make(rueidis.Commands, 0, 2*len(keys))
	for _, key := range keys {
		reads = append(reads, from.B().Pexpiretime().Key(key).Build(), from.B().Dump().Key(key).Build())
	}
	replies := from.DoMulti(ctx, reads...)
	writes := make(rueidis.Commands, 0, len(keys))
	for i, key := range keys {
		at, err := replies[2*i].AsInt64()
		if err != nil {
			return 0, fmt.Errorf("PEXPIRETIME: %w", err)
		}
		dump, err := replies[2*i+1].ToString()
		if rueidis.IsRedisNil(err) {
			continue // gone since it was scanned
		}
		if err != nil {
			return 0, fmt.Errorf("DUMP: %w", err)
		}
		writes = append(writes, to.B().Arbitrary("RESTORE").Keys(key).
			Args(strconv.FormatInt(max(at, 0), 10), dump, "ABSTTL").Build())
	}
	for _, reply := range to.DoMulti(ctx, writes...) {
		if e := reply.Error(); e != nil {
			err = errors.Join(err, fmt.Errorf("RESTORE: %w", e))
			continue
		}
		restored++
	}
	return restored, err
}
