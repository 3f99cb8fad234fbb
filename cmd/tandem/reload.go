package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/audit"
	"tandem/internal/notify"
	"tandem/migration"
)

// reloader reads the configuration again while the process runs. Signals and the admin API may ask at once.
type reloader struct {
	read      func() (*config.Config, error)
	level     *slog.LevelVar
	manager   notify.Manager
	migration *migration.Migration
	api       *admin.Server
	record    *audit.Log
	log       *slog.Logger

	mu      sync.Mutex
	inUse   *config.Config // a copy: what the migration was made with stays as it is
	callers []config.Caller
}

// newReloader is of a configuration that is in use.
func newReloader(read func() (*config.Config, error), level *slog.LevelVar, inUse *config.Config, log *slog.Logger) *reloader {
	c := *inUse
	return &reloader{read: read, level: level, inUse: &c, log: log}
}

// reload takes over what can change while the process runs, if all of the configuration is right.
func (r *reloader) reload(ctx context.Context) (admin.Reloaded, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.migration.TakenUp():
		if err := r.manager.Reloading(); err == nil {
			defer func() { _ = r.manager.Ready() }() // if it cannot be told, it was told nothing before either
		}
	default: // it has not been said to be ready yet
	}
	done := admin.Reloaded{Applied: []string{}, Restart: []string{}}
	c, err := r.read()
	if err != nil {
		return done, fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	live, restart := config.Changes(r.inUse, c)
	replaced, err := r.apply(ctx, c)
	if err != nil {
		return done, err
	}
	for _, key := range replaced { // what a file holds may change, and its name not
		if !slices.Contains(live, key) {
			live = append(live, key)
		}
	}
	r.inUse.Adopt(c)
	done.Applied, done.Restart = append(done.Applied, live...), append(done.Restart, restart...)
	r.log.Info("the configuration was read again", "applied", done.Applied, "need_restart", done.Restart)
	return done, nil
}

// apply brings the live settings of c into force, those that have changed. All that may fail comes before anything is changed.
// replaced are the keys of files whose content is another one.
func (r *reloader) apply(ctx context.Context, c *config.Config) (replaced []string, err error) {
	invalid := func(err error) error { return fmt.Errorf("%w: %w", admin.ErrInvalid, err) }
	callers, err := c.Admin.Callers()
	if err != nil {
		return nil, invalid(err)
	}
	if len(callers) == 0 && !config.Loopback(r.inUse.Admin.Listen) {
		return nil, invalid(fmt.Errorf("admin.listen is still %s, which is open to other machines: it needs a token until it is changed by a restart", r.inUse.Admin.Listen))
	}
	file, err := audit.Prepare(c.Audit.File)
	if err != nil {
		return nil, invalid(fmt.Errorf("audit.file: %w", err))
	}
	if err := r.throttle(ctx, c); err != nil {
		file.Leave()
		return nil, err
	}
	if err := r.api.SetCallers(allowed(callers)); err != nil {
		file.Leave()
		return nil, invalid(err)
	}
	r.record.GoOn(file)
	replaced = replacedTokens(c.Admin, r.callers, callers)
	r.callers = callers
	r.migration.Adopt(c)
	if c.Log.Level != r.inUse.Log.Level {
		r.level.Set(levelOf(c.Log))
	}
	if n := int64(c.MemoryLimitBytes); n != int64(r.inUse.MemoryLimitBytes) {
		if n == 0 {
			n = noMemoryLimit
		}
		debug.SetMemoryLimit(n)
	}
	return replaced, nil
}

// replacedTokens are the keys of files that hold other tokens than they did.
func replacedTokens(a config.Admin, before, now []config.Caller) (keys []string) {
	nameless := func(c config.Caller) bool { return c.Name == "" }
	named := func(c config.Caller) bool { return c.Name != "" }
	only := func(all []config.Caller, without func(config.Caller) bool) []config.Caller {
		return slices.DeleteFunc(slices.Clone(all), without)
	}
	if a.TokenFile != "" && !slices.Equal(only(before, named), only(now, named)) {
		keys = append(keys, "admin.token_file")
	}
	if !slices.Equal(only(before, nameless), only(now, nameless)) {
		keys = append(keys, "admin.tokens")
	}
	return keys
}

// allowed are the callers as the admin API knows them.
func allowed(list []config.Caller) (all []admin.Caller) {
	for _, c := range list {
		all = append(all, admin.Caller{Name: c.Name, Token: c.Token, ReadOnly: c.ReadOnly})
	}
	return all
}

// throttle brings what is said of copying into force, where it has changed.
func (r *reloader) throttle(ctx context.Context, c *config.Config) error {
	var o admin.ThrottleOptions
	before, b := r.inUse.Backfill, c.Backfill
	if b.MaxKeysPerS != before.MaxKeysPerS {
		o.MaxKeysPerS = &b.MaxKeysPerS
	}
	if n := int64(b.MaxBytesPerS); b.MaxBytesPerS != before.MaxBytesPerS {
		o.MaxBytesPerS = &n
	}
	if n := int64(b.WindowBytes); b.WindowBytes != before.WindowBytes {
		o.WindowBytes = &n
	}
	if b.Workers != before.Workers {
		o.Workers = &b.Workers
	}
	if b.Governor != before.Governor {
		on := b.Governor == "on"
		o.Governor = &on
	}
	_, err := r.migration.Throttle(ctx, o)
	return err
}

// noMemoryLimit is Go's own default.
const noMemoryLimit = 1<<63 - 1

// onSignal reloads at each SIGHUP until ctx ends.
func (r *reloader) onSignal(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-signals:
			err := r.api.Local("reload", "SIGHUP", func() error {
				_, err := r.reload(ctx)
				return err
			})
			if err != nil {
				r.log.Error("the configuration was not read again: all stays as it is", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// hangups are the SIGHUPs of this process, which would end it otherwise.
func hangups() (signals chan os.Signal, stop func()) {
	signals = make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	return signals, func() { signal.Stop(signals) }
}

func newReloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the running tandem read its configuration again",
		Long: `Have the running tandem read its configuration again, as SIGHUP does. What can change while it runs is in
force then; what needs a restart is named. If anything is wrong with it, nothing changes.`,
		Args: noArguments,
	}
	remote := addRemote(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print what has changed as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := remote.client()
		if err != nil {
			return err
		}
		defer client.Close()
		done, err := client.Reload(cmd.Context())
		if err != nil {
			return fmt.Errorf("reload: %w", err)
		}
		if *asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(done)
		}
		for _, key := range done.Applied {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: in force\n", key)
		}
		for _, key := range done.Restart {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: needs a restart\n", key)
		}
		if len(done.Applied)+len(done.Restart) == 0 {
			fmt.Fprintln(cmd.OutOrStdout(), "nothing has changed")
		}
		return nil
	}
	return cmd
}
