package backfill

import (
	"context"

	"github.com/redis/rueidis"
)

// elementSize is what an element counts for where a server tells only how many there are.
const elementSize = 128

// countCommands tell how much there is in a key of each type, where MEMORY USAGE is refused. STRLEN counts
// bytes, the others elements.
var countCommands = map[string]string{
	"string": "STRLEN", "list": "LLEN", "hash": "HLEN", "set": "SCARD", "zset": "ZCARD", "stream": "XLEN",
}

// sizes estimates how many bytes each key's payload will have; 0 for a key that is not there. Estimates may
// be wrong either way: what matters is bounded by the limits of the read itself.
func (r *reader) sizes(ctx context.Context, db int, names []string) ([]int64, error) {
	out := make([]int64, len(names))
	if !r.noMemoryUsage.Load() {
		commands := make([]command, len(names))
		for i, name := range names {
			commands[i] = command{"MEMORY", "USAGE", name}
		}
		results, err := r.do(ctx, db, commands...)
		if err != nil {
			return nil, err
		}
		for i, res := range results {
			switch n, err := res.ToInt64(); {
			case err == nil:
				out[i] = n
			case refused(err):
				r.noMemoryUsage.Store(true)
			}
		}
		if !r.noMemoryUsage.Load() {
			return out, nil
		}
	}
	commands := make([]command, len(names))
	for i, name := range names {
		commands[i] = command{"TYPE", name}
	}
	types, err := r.do(ctx, db, commands...)
	if err != nil {
		return nil, err
	}
	for i := range types {
		kind, _ := types[i].ToString()
		if count, ok := countCommands[kind]; ok {
			commands[i] = command{count, names[i]}
		} else {
			commands[i] = command{"EXISTS", names[i]} // a module's type: its size cannot be had
		}
	}
	counts, err := r.do(ctx, db, commands...)
	if err != nil {
		return nil, err
	}
	for i := range counts {
		n, err := counts[i].ToInt64()
		switch {
		case err != nil && !rueidis.IsRedisNil(err): // its type has changed meanwhile
		case commands[i][0] == "STRLEN":
			out[i] = n
		default:
			out[i] = n * elementSize
		}
	}
	return out, nil
}
