package backfill

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// maxScanPause is the longest pause between attempts to go on with a scan.
const maxScanPause = 2 * time.Second

// always is a count that stays.
func always(count int) func() int { return func() int { return count } }

// scan hands every key of a database that moves to page, in portions of about count; some may come twice, none that is
// there all the time is left out. A lost connection is made anew and the scan goes on, from its cursor if
// the server process is the same, from the beginning if it may not be: a cursor means nothing to another
// process. The error is ctx's, page's own, or says that the server refuses the scan.
func (r *reader) scan(ctx context.Context, db int, count func() int, page func(names []string) error) error {
	return r.scanFrom(ctx, db, count, position{}, func(names []string, _ position) error { return page(names) })
}

// position is where a scan goes on: a cursor, "0" at the end and empty at the beginning, and the server process that it
// belongs to; empty where INFO does not tell.
type position struct{ runID, cursor string }

// scanFrom is scan from a position on. page is told, too, where the scan goes on behind it.
func (r *reader) scanFrom(ctx context.Context, db int, count func() int, from position, page func(names []string, at position) error) error {
	s := scanning{r: r, db: db, count: count, position: from}
	defer s.leave()
	for failures := 0; ; {
		names, err := s.next(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case refusedCommand(err) || errors.Is(err, errClosed):
			return fmt.Errorf("%s: scan database %d: %w", r.in, db, err)
		case err != nil:
			s.leave()
			failures++
			pause(ctx, backoff(failures, maxScanPause))
			continue
		}
		failures = 0
		if err := page(r.moving(db, names), s.position); err != nil {
			return err
		}
		if s.cursor == "0" {
			return nil
		}
	}
}

// scanning is one walk through a database. Its connection is its own: if it breaks, that is seen, where a
// client that reconnects by itself would go on with a stale cursor.
type scanning struct {
	r     *reader
	db    int
	count func() int

	conn    rueidis.DedicatedClient
	release func()
	position
}

// next returns the next portion.
func (s *scanning) next(ctx context.Context) ([]string, error) {
	if s.conn == nil {
		if err := s.enter(ctx); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.r.timeout)
	defer cancel()
	at := s.cursor
	if at == "" {
		at = "0"
	}
	entry, err := s.conn.Do(ctx, s.conn.B().Arbitrary("SCAN", at, "COUNT", strconv.Itoa(s.count())).Build()).AsScanEntry()
	if err != nil {
		return nil, err
	}
	s.cursor = strconv.FormatUint(entry.Cursor, 10)
	return entry.Elements, nil
}

// enter opens the connection and decides whether the cursor still holds.
func (s *scanning) enter(ctx context.Context) error {
	client, err := s.r.connect(ctx)
	if err != nil {
		return err
	}
	s.conn, s.release = client.Dedicate()
	ctx, cancel := context.WithTimeout(ctx, s.r.timeout)
	defer cancel()
	results := s.conn.DoMulti(ctx,
		s.conn.B().Arbitrary("SELECT", s.r.number(s.db)).Build(),
		s.conn.B().Arbitrary("INFO", "server").Build())
	if err := results[0].Error(); err != nil {
		return err
	}
	info, err := results[1].ToString()
	if err != nil && !refused(err) {
		return err
	}
	id := infoField(info, "run_id")
	if id == "" || id != s.runID {
		s.cursor = ""
	}
	s.runID = id
	return nil
}

// leave gives up the connection.
func (s *scanning) leave() {
	if s.conn != nil {
		s.release()
		s.conn = nil
	}
}

// infoField returns a field of an answer of INFO, empty if it is not there.
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// countKeys returns how many keys each of the databases 0 to n-1 has. Databases that do not exist, that this user may not
// select, or that do not move, have none.
func (r *reader) countKeys(ctx context.Context, n int) ([]int64, error) {
	client, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	keys := make([]int64, n)
	elsewhere := int64(0)
	const atOnce = 512
	for from := 0; from < n; from += atOnce {
		to := min(from+atOnce, n)
		block := make([]rueidis.Completed, 0, 2*(to-from))
		for db := from; db < to; db++ {
			block = append(block,
				client.B().Arbitrary("SELECT", r.number(db)).Build(),
				client.B().Arbitrary("DBSIZE").Build())
		}
		ctx, cancel := context.WithTimeout(ctx, r.timeout)
		results := client.DoMulti(ctx, block...)
		cancel()
		for db := from; db < to; db++ {
			sel, size := results[2*(db-from)], results[2*(db-from)+1]
			for _, res := range []rueidis.RedisResult{sel, size} {
				if err := res.NonRedisError(); err != nil {
					return nil, fmt.Errorf("%s: DBSIZE: %w", r.in, err)
				}
				if err := wholeServer(res.Error()); err != nil {
					return nil, fmt.Errorf("%s: DBSIZE: %w", r.in, err)
				}
			}
			if sel.Error() != nil {
				continue
			}
			if keys[db], err = size.ToInt64(); err != nil {
				return nil, fmt.Errorf("%s: DBSIZE of database %d: %w", r.in, db, err)
			}
			if !r.moves.Database(db) {
				elsewhere += keys[db]
				keys[db] = 0
			}
		}
	}
	r.elsewhere.Store(elsewhere)
	return keys, nil
}
