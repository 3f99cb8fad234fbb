package goredis

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"tandem/test/clients/stage"
	"tandem/test/clients/workload"
)

// scripts runs one that is sent when it is missing, one that was loaded and must never be missing, and the
// read-only form.
func scripts(p *stage.Player, c *redis.Client) error {
	ctx, cancel := p.Context()
	sha, err := c.ScriptLoad(ctx, workload.Loaded).Result()
	cancel()
	if err != nil {
		return fmt.Errorf("SCRIPT LOAD: %w", err)
	}
	counted := redis.NewScript(workload.Counted)
	for n := int64(1); p.Going(); n++ {
		ctx, cancel := p.Context()
		reply, err := counted.Run(ctx, c, []string{p.Key("n"), p.Key("log"), p.Key("last")}, "x").Result()
		if want := workload.CountedReply(n, "x"); err != nil || workload.Text(reply) != want {
			cancel()
			return fmt.Errorf("script %d: %q %v, want %q", n, workload.Text(reply), err, want)
		}
		reply, err = c.EvalSha(ctx, sha, []string{p.Key("m")}, 2).Result()
		if err != nil || reply != 2*n {
			cancel()
			return fmt.Errorf("EVALSHA %d of a script that was loaded: %v %v", n, reply, err)
		}
		if p.Features.Redis7 {
			reply, err = c.EvalRO(ctx, "return redis.call('GET', KEYS[1])", []string{p.Key("m")}).Result()
			if err != nil || reply != fmt.Sprint(2*n) {
				cancel()
				return fmt.Errorf("EVAL_RO %d: %v %v", n, reply, err)
			}
		}
		found, err := c.ScriptExists(ctx, sha, counted.Hash(), "0000000000000000000000000000000000000000").Result()
		cancel()
		if err != nil || !found[0] || found[2] {
			return fmt.Errorf("SCRIPT EXISTS: %v %v", found, err)
		}
		p.Round()
	}
	return nil
}

// functions calls one of a library that was loaded once.
func functions(p *stage.Player, c *redis.Client) error {
	if !p.Features.Redis7 {
		return idle(p, c)
	}
	ctx, cancel := p.Context()
	err := c.FunctionLoadReplace(ctx, workload.Library(workload.Word(p.Prefix))).Err()
	cancel()
	if err != nil {
		return fmt.Errorf("FUNCTION LOAD: %w", err)
	}
	name := workload.Word(p.Prefix)
	for n := int64(1); p.Going(); n++ {
		ctx, cancel := p.Context()
		reply, err := c.FCall(ctx, name, []string{p.Key("n")}, 3).Result()
		if err == nil && reply != 3*n {
			err = fmt.Errorf("%v, want %d", reply, 3*n)
		}
		if err == nil {
			reply, err = c.FCallRO(ctx, name+"_ro", []string{p.Key("n")}).Result()
			if err == nil && reply != fmt.Sprint(3*n) {
				err = fmt.Errorf("read-only: %v, want %d", reply, 3*n)
			}
		}
		cancel()
		if err != nil {
			return fmt.Errorf("FCALL %d: %w", n, err)
		}
		p.Round()
	}
	return nil
}

// idle is what a part does whose commands the servers lack: its connection stays, and is there.
func idle(p *stage.Player, c *redis.Client) error {
	for p.Going() {
		ctx, cancel := p.Context()
		err := c.Ping(ctx).Err()
		cancel()
		if err != nil {
			return err
		}
		p.Round()
	}
	return nil
}

// scans iterates over keys and members that stay as they are, while others come and go: each must be seen. From
// the first cutover on a cursor may start over, so an element may be seen again.
func scans(p *stage.Player, c *redis.Client) error {
	const keys, members = 300, 700
	ctx, cancel := p.Context()
	pipe := c.Pipeline()
	for i := range keys {
		pipe.Set(ctx, p.Key("k%d", i), i, 0)
	}
	for i := range members {
		pipe.HSet(ctx, p.Key("hash"), fmt.Sprintf("f%d", i), i)
		pipe.SAdd(ctx, p.Key("set"), fmt.Sprintf("m%d", i))
		pipe.ZAdd(ctx, p.Key("zset"), redis.Z{Score: float64(i), Member: fmt.Sprintf("m%d", i)})
	}
	_, err := pipe.Exec(ctx)
	cancel()
	if err != nil {
		return err
	}
	for n := 0; p.Going(); n++ {
		ctx, cancel := p.Context()
		err := c.Set(ctx, p.Key("passing%d", n%10), n, 0).Err()
		if err == nil {
			err = seen(ctx, c.Scan(ctx, 0, p.Key("k*"), 50), keys)
		}
		if err == nil {
			err = seen(ctx, c.HScan(ctx, p.Key("hash"), 0, "", 100), 2*members) // values are numbers, fields are not
		}
		if err == nil {
			err = seen(ctx, c.SScan(ctx, p.Key("set"), 0, "", 100), members)
		}
		if err == nil {
			err = seen(ctx, c.ZScan(ctx, p.Key("zset"), 0, "", 100), 2*members)
		}
		if err == nil {
			err = c.Del(ctx, p.Key("passing%d", (n+5)%10)).Err()
		}
		cancel()
		if err != nil {
			return fmt.Errorf("scan %d: %w", n, err)
		}
		p.Round()
	}
	return nil
}

// seen iterates to the end and counts different elements.
func seen(ctx context.Context, cmd *redis.ScanCmd, want int) error {
	got := map[string]bool{}
	it := cmd.Iterator()
	for it.Next(ctx) {
		got[it.Val()] = true
	}
	if err := it.Err(); err != nil {
		return err
	}
	if len(got) != want {
		return fmt.Errorf("%s: %d different elements, want %d", cmd.Name(), len(got), want)
	}
	return nil
}
