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

// scans iterates with the library's iterator.
func scans(p *stage.Player, c *redis.Client) error {
	scan := workload.Scanner(func(ctx context.Context, command, key string) (elements []string, err error) {
		var cmd *redis.ScanCmd
		switch command {
		case "SCAN":
			cmd = c.Scan(ctx, 0, key, 400)
		case "HSCAN":
			cmd = c.HScan(ctx, key, 0, "", 100)
		case "SSCAN":
			cmd = c.SScan(ctx, key, 0, "", 100)
		case "ZSCAN":
			cmd = c.ZScan(ctx, key, 0, "", 100)
		}
		it := cmd.Iterator()
		for it.Next(ctx) {
			elements = append(elements, it.Val())
		}
		return elements, it.Err()
	})
	return scan.Play(p, func(ctx context.Context, args ...string) error { return c.Do(ctx, words(args)...).Err() })
}
