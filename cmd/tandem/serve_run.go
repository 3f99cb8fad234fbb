package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/audit"
	"tandem/internal/instance"
	"tandem/internal/tlsconn"
	"tandem/migration"
)

// runServe serves clients and the admin API until ctx ends or one of them cannot go on, then drains.
func runServe(ctx context.Context, cfg *config.Config, r *reloader, log *slog.Logger) error {
	signals, deaf := hangups()
	defer deaf()
	if n := int64(cfg.MemoryLimitBytes); n > 0 {
		debug.SetMemoryLimit(n)
	}
	m, err := newMigration(cfg, log)
	if err != nil {
		return err
	}
	m.Version = ownVersion()
	s := newService(m, log)
	r.migration, r.manager = m, s.manager
	api, err := listenAdmin(cfg, m, r, log)
	if err != nil {
		return errors.Join(err, m.Run(ended()))
	}

	// The admin API outlives the drain: whoever watches sees it end.
	drained, end := context.WithCancel(context.Background())
	serving, stop := context.WithCancel(ctx)
	var group errgroup.Group
	group.Go(func() error {
		defer end()
		return m.Run(serving)
	})
	group.Go(func() error {
		s.tell(serving, drained)
		return nil
	})
	group.Go(func() error {
		r.onSignal(drained, signals)
		return nil
	})
	group.Go(func() error {
		defer stop() // nobody could lead the migration without it
		return api.Serve(drained)
	})
	err = group.Wait()
	if errors.Is(err, migration.ErrPair) {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return err
}

// newMigration makes the migration between the two servers of a configuration.
func newMigration(cfg *config.Config, log *slog.Logger) (*migration.Migration, error) {
	source, err := newInstance(instance.Source, cfg.Source, log)
	if err != nil {
		return nil, err
	}
	target, err := newInstance(instance.Target, cfg.Target, log)
	if err != nil {
		return nil, err
	}
	return migration.New(cfg, source, target, log)
}

// listenAdmin opens the admin address, and the record of steps. r may be nil: then nothing can be changed while it runs.
func listenAdmin(cfg *config.Config, m *migration.Migration, r *reloader, log *slog.Logger) (*admin.Server, error) {
	callers, err := cfg.Admin.Callers()
	if err != nil {
		return nil, err
	}
	record, err := audit.Open(cfg.Audit.File)
	if err != nil {
		return nil, err
	}
	m.Audit = record
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	o := admin.Options{
		Addr:            cfg.Admin.Listen,
		Callers:         allowed(callers),
		Audit:           record,
		Controller:      m,
		Metrics:         metrics,
		Log:             log,
		ShutdownTimeout: cfg.Shutdown.Timeout,
	}
	if t := cfg.Admin.TLS; t.Enabled() {
		o.TLS = &tlsconn.ServerOptions{Files: t.Files(), ClientAuth: t.ClientAuth, HandshakeTimeout: t.HandshakeTimeout}
	}
	if r != nil {
		o.Reload, o.Level = r.reload, r.level
	}
	api, err := admin.Listen(o)
	if err != nil {
		return nil, err
	}
	if r != nil {
		r.api, r.record, r.callers = api, record, callers
	}
	log.Info("admin", "listen", api.Addr())
	return api, nil
}

// ended is a context that is over.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
