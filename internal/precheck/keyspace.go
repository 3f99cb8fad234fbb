package precheck

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/instance"
	"tandem/internal/resp"
)

// countAll bounds the counting by SCAN: up to so many keys, INFO's number is checked key by key, for it has
// expired keys and our own scratch keys in it.
const countAll = 10_000

func targetEmpty(ctx context.Context, r *run, _ *side) finding {
	if r.Resume {
		return finding{}
	}
	t := r.target
	var where []string
	var total int64
	for _, db := range slices.Sorted(maps.Keys(t.info.Keys)) {
		keys := t.info.Keys[db]
		if keys <= countAll {
			n, err := countKeys(ctx, t.conn, db, t.info.Databases)
			var reply *instance.ReplyError
			switch {
			case err == nil:
				keys = n
			case !errors.As(err, &reply):
				return broken(err)
			}
		}
		if keys > 0 {
			total += keys
			where = append(where, fmt.Sprintf("db%d: %d", db, keys))
		}
	}
	if total == 0 {
		return success("no keys")
	}
	return failed(fmt.Sprintf("check that %s is the right server; if its keys are not needed, empty it (FLUSHALL), else choose another target", t.Addr),
		"%s (%s)", keysIn(total), strings.Join(where, ", "))
}

// countKeys counts a database's keys by SCAN, without ours. It is more than 0 if and only if there is one; keys
// that SCAN returns twice count twice. The connection is left in database 0.
func countKeys(ctx context.Context, c *instance.Conn, db, databases int) (n int64, err error) {
	if databases > 1 {
		if _, err := c.Do(ctx, "SELECT", strconv.Itoa(db)); err != nil {
			return 0, err
		}
		defer func() {
			if _, back := c.Do(ctx, "SELECT", "0"); err == nil {
				err = back
			}
		}()
	}
	for cursor := "0"; ; {
		v, err := c.Do(ctx, "SCAN", cursor, "COUNT", "1000")
		if err != nil {
			return 0, err
		}
		if len(v.Elems) != 2 {
			return 0, fmt.Errorf("SCAN answered %d elements", len(v.Elems))
		}
		keys := slices.DeleteFunc(v.Elems[1].Elems, func(k resp.Value) bool {
			return strings.HasPrefix(string(k.Str), scratchPrefix)
		})
		n += int64(len(keys))
		if cursor = string(v.Elems[0].Str); cursor == "0" {
			return n, nil
		}
	}
}

func targetDatabases(_ context.Context, r *run, _ *side) finding {
	has, all, used := r.target.info.Databases, r.source.info.Databases, r.source.info.HighestDB()
	switch {
	case used >= has:
		return failed(fmt.Sprintf("set databases %d or more on the target (it takes a restart), or ask the provider", max(all, used+1)),
			"the source has keys in database %d, the target's last is %d", used, has-1)
	case all > has:
		return warning(fmt.Sprintf("set databases %d on the target (it takes a restart), if clients may come to use them", all),
			"the source offers %d databases, the target %d; those with keys fit", all, has)
	}
	return success("the target offers %d databases, the source %d", has, all)
}

func keysIn(n int64) string {
	if n == 1 {
		return "1 key"
	}
	return fmt.Sprintf("%d keys", n)
}
