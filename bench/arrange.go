package main

import (
	"context"
	"fmt"
	"slices"

	"tandem/internal/redisd"
)

// arrange starts the servers and proxies that were asked for and that names has, every source filled with the same
// keys. What adds nothing to a server shares one: those run in turns. Each tandem has a pair of its own.
func (f *fleet) arrange(ctx context.Context, o options, value int) ([]*arrangement, error) {
	var all []*arrangement
	wanted := func(part string) bool { return o.has(part) && o.measured(part, value) }
	if wanted("direct") || wanted("twemproxy") || wanted("haproxy") {
		source, err := f.filled(ctx, value)
		if err != nil {
			return nil, err
		}
		for _, part := range []struct {
			name  string
			start func(ctx context.Context, source *redisd.Server) (*arrangement, error)
		}{{"direct", f.direct}, {"twemproxy", f.twemproxy}, {"haproxy", f.haproxy}} {
			if !wanted(part.name) {
				continue
			}
			a, err := part.start(ctx, source)
			if err != nil {
				return nil, err
			}
			all = append(all, a)
		}
	}
	for _, part := range []struct {
		name  string
		start func(ctx context.Context, source, target *redisd.Server) ([]*arrangement, error)
	}{
		{"passthrough", one(f.passthrough)}, {"tls", one(f.encrypted)}, {"synced", one(f.synced)}, {"tracking", one(f.tracking)},
		{"reversed", one(f.reversed)}, {"naive", f.naive},
	} {
		if !wanted(part.name) {
			continue
		}
		source, err := f.filled(ctx, value)
		if err != nil {
			return nil, err
		}
		target, err := f.server()
		if err != nil {
			return nil, err
		}
		some, err := part.start(ctx, source, target)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// one makes a list of what starts one arrangement.
func one(start func(ctx context.Context, source, target *redisd.Server) (*arrangement, error)) func(context.Context, *redisd.Server, *redisd.Server) ([]*arrangement, error) {
	return func(ctx context.Context, source, target *redisd.Server) ([]*arrangement, error) {
		a, err := start(ctx, source, target)
		return []*arrangement{a}, err
	}
}

// measured reports whether a part has any workload with values of this size.
func (o *options) measured(part string, value int) bool {
	name := part
	if part == "naive" {
		name = toBoth
	}
	return slices.ContainsFunc(o.workloads(), func(w workload) bool { return w.Value == value && o.runsOn(name, w) })
}

// filled starts a server that holds as many values of a size as workloads ask for.
func (f *fleet) filled(ctx context.Context, value int) (*redisd.Server, error) {
	s, err := f.server()
	if err != nil {
		return nil, err
	}
	return s, fill(ctx, s.Addr, keyspace(value), value, 0)
}

// forget deletes the list that LPUSH has filled: through a tandem that writes it to two servers, else past whatever is
// between, which may speak TLS.
func (a *arrangement) forget(ctx context.Context) error {
	addr := a.behind.Addr
	if a.settle != nil {
		addr = a.addr
	}
	client, err := dial(addr)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Do(ctx, client.B().Unlink().Key("mylist").Build()).Error(); err != nil {
		return fmt.Errorf("deleting the list of LPUSH at %s: %w", addr, err)
	}
	if a.settle != nil {
		return a.settle(ctx)
	}
	return nil
}
