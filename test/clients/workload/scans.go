package workload

import (
	"context"
	"fmt"

	"tandem/test/clients/stage"
)

// Scanner iterates over the keyspace or a collection to the end, by SCAN, HSCAN, SSCAN or ZSCAN: key is a pattern
// for SCAN, and elements come as the server sends them, in any order.
type Scanner func(ctx context.Context, command, key string) (elements []string, err error)

// Play iterates over keys and members that stay as they are, while others come and go: each must be seen. From the
// first cutover on a cursor may start over, so an element may be seen again. do runs a command that succeeds.
func (scan Scanner) Play(p *stage.Player, do func(ctx context.Context, args ...string) error) error {
	const keys, members = 200, 600
	ctx, cancel := p.Context()
	defer cancel()
	for i := range keys {
		if err := do(ctx, "SET", p.Key("k%d", i), "1"); err != nil {
			return err
		}
	}
	hash, set, zset := []string{"HSET", p.Key("hash")}, []string{"SADD", p.Key("set")}, []string{"ZADD", p.Key("zset")}
	for i := range members {
		hash = append(hash, fmt.Sprintf("f%d", i), fmt.Sprintf("v%d", i))
		set = append(set, fmt.Sprintf("m%d", i))
		zset = append(zset, fmt.Sprint(i), fmt.Sprintf("m%d", i))
	}
	for _, command := range [][]string{hash, set, zset} {
		if err := do(ctx, command...); err != nil {
			return err
		}
	}
	for n := 0; p.Going(); n++ {
		if err := scan.round(p, n, do, keys, members); err != nil {
			return fmt.Errorf("scan %d: %w", n, err)
		}
		p.Round()
	}
	return nil
}

func (scan Scanner) round(p *stage.Player, n int, do func(context.Context, ...string) error, keys, members int) error {
	ctx, cancel := p.Context()
	defer cancel()
	if err := do(ctx, "SET", p.Key("passing%d", n%10), "1"); err != nil {
		return err
	}
	for _, s := range []struct {
		command, key string
		want         int
	}{{"SCAN", p.Key("k*"), keys}, {"HSCAN", p.Key("hash"), 2 * members}, {"SSCAN", p.Key("set"), members}, {"ZSCAN", p.Key("zset"), 2 * members}} {
		elements, err := scan(ctx, s.command, s.key)
		if err != nil {
			return fmt.Errorf("%s: %w", s.command, err)
		}
		different := map[string]bool{}
		for _, e := range elements {
			different[e] = true
		}
		if len(different) != s.want {
			return fmt.Errorf("%s: %d different elements, want %d", s.command, len(different), s.want)
		}
	}
	return do(ctx, "DEL", p.Key("passing%d", (n+5)%10))
}
