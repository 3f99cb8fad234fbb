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
	"tandem/internal/instance"
	"tandem/migration"
)

// runServe serves clients and the admin API until ctx ends or one of them cannot go on, then drains.
func runServe(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	if n := int64(cfg.MemoryLimitBytes); n > 0 {
		debug.SetMemoryLimit(n)
	}
	source, err := newInstance(instance.Source, cfg.Source, log)
	if err != nil {
		return err
	}
	target, err := newInstance(instance.Target, cfg.Target, log)
	if err != nil {
		return err
	}
	m, err := migration.New(cfg, source, target, log)
	if err != nil {
		return err
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	api, err := admin.Listen(admin.Options{
		Addr:            cfg.Admin.Listen,
		Token:           string(cfg.Admin.Token),
		Controller:      m,
		Metrics:         metrics,
		Log:             log,
		ShutdownTimeout: cfg.Shutdown.Timeout,
	})
	if err != nil {
		return errors.Join(err, m.Run(ended()))
	}
	log.Info("admin", "listen", api.Addr())

	// The admin API outlives the drain: whoever watches sees it end.
	drained, end := context.WithCancel(context.Background())
	serving, stop := context.WithCancel(ctx)
	var group errgroup.Group
	group.Go(func() error {
		defer end()
		return m.Run(serving)
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

// ended is a context that is over.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
