package main

import (
	"io"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tandem/config"
	"tandem/internal/admin"
)

// A settingFlag is a flag that sets a key of the configuration.
type settingFlag struct {
	flag, key, usage string
}

// instanceFlags name the two servers.
var instanceFlags = []settingFlag{
	{"source", "source.url", "server to move from: redis://[user:password@]host:port[/db], or rediss:// for TLS, as `URL`"},
	{"target", "target.url", "server to move to, as `URL`"},
}

// acceptFlag names warnings of the precheck.
var acceptFlag = settingFlag{"accept", "precheck.accept", "warnings of the precheck that are as they should be, as `NAMES` with commas in between"}

// serveFlags are the settings that differ from one run to the next; the others belong into a file.
var serveFlags = append([]settingFlag{
	{"listen", "listen", "`ADDR` that clients connect to"},
	{"listen-target", "listen_target", "`ADDR` that fronts the target, for clients on both instances"},
	{"admin", "admin.listen", "`ADDR` of the admin API, metrics and dashboard"},
	{"state-dir", "state_dir", "`DIR` that holds what must survive a restart"},
	{"start", "start", "whether the backfill starts by itself, as `WHEN`: auto or manual"},
	acceptFlag,
}, instanceFlags...)

// settingsSource reads the configuration of a command with such flags.
type settingsSource struct {
	file  string
	flags map[string]*pflag.Flag
}

// addSettings gives a command the flags, and -c for the file.
func addSettings(cmd *cobra.Command, flags []settingFlag) *settingsSource {
	s := &settingsSource{flags: make(map[string]*pflag.Flag)}
	cmd.Flags().StringVarP(&s.file, "config", "c", "", "configuration `FILE`, .yaml or .toml")
	for _, f := range flags {
		cmd.Flags().String(f.flag, "", f.usage)
		s.flags[f.key] = cmd.Flags().Lookup(f.flag)
	}
	return s
}

// addTakeover gives a command --takeover, which has no value.
func (s *settingsSource) addTakeover(cmd *cobra.Command) {
	cmd.Flags().Bool("takeover", false, "replace a process on this pair that no longer runs")
	s.flags["takeover"] = cmd.Flags().Lookup("takeover")
}

// load reads everything. With an error, the configuration is only to be shown.
func (s *settingsSource) load() (*config.Config, error) {
	return config.Load(config.Input{File: s.file, Flags: s.flags})
}

// newLogger makes the log that the configuration asks for. Validation has checked both values.
func newLogger(w io.Writer, c config.Log) *slog.Logger {
	log, _ := newLevelledLogger(w, c)
	return log
}

// newLevelledLogger is newLogger, with the level, which may be changed.
func newLevelledLogger(w io.Writer, c config.Log) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(levelOf(c))
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: admin.LevelName}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o)), level
	}
	return slog.New(slog.NewTextHandler(w, o)), level
}

func levelOf(c config.Log) slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return slog.LevelInfo
	}
	return level
}
