package admin

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
)

// Reloaded is what has become of a configuration that was read again.
type Reloaded struct {
	// Applied are the keys that have changed and are in force, Restart those that have changed and need a restart. None is
	// an empty list.
	Applied []string `json:"applied"`
	Restart []string `json:"restart"`
}

// LogLevel is the least important level that the log has.
type LogLevel struct {
	Level string `json:"level"`
}

// log tells the level of the log, or changes it until the configuration says otherwise.
func (s *Server) log(w http.ResponseWriter, r *http.Request) {
	var o LogLevel
	if r.Method == http.MethodPost && !readBody(w, r, &o) {
		return
	}
	if s.options.Level == nil {
		writeError(w, http.StatusNotFound, "the level of this log cannot be changed")
		return
	}
	if o.Level != "" {
		if caller(r).readOnly {
			s.mayOnlyRead(w, r)
			return
		}
		t, _ := s.begin(w, r, "log", "", o) // it is no step that must leave a record
		var level slog.Level
		err := level.UnmarshalText([]byte(o.Level))
		if err != nil || !slices.Contains(logLevels, strings.ToLower(o.Level)) {
			err = fmt.Errorf("%w: the level %q: use %s", ErrInvalid, shown(o.Level), strings.Join(logLevels, ", "))
		} else {
			s.options.Level.Set(level)
		}
		t.end(err)
		if err != nil {
			writeFailure(w, err)
			return
		}
	}
	writeJSON(w, http.StatusOK, LogLevel{Level: strings.ToLower(s.options.Level.Level().String())})
}

// logLevels are those that log.level may have.
var logLevels = []string{"debug", "info", "warn", "error"}

// LogLevel changes the level of the log, unless it is empty, and returns it.
func (c *Client) LogLevel(ctx context.Context, level string) (string, error) {
	var o LogLevel
	err := c.ask(ctx, http.MethodPost, "api/v1/log", LogLevel{Level: level}, &o)
	return o.Level, err
}

// reload has the configuration read again.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if !readBody(w, r, &struct{}{}) {
		return
	}
	if s.options.Reload == nil {
		writeError(w, http.StatusNotFound, "there is no configuration to read again")
		return
	}
	t, ok := s.begin(w, r, "reload", "", nil)
	if !ok {
		return
	}
	done, err := s.options.Reload(r.Context())
	t.end(err)
	if err != nil {
		writeFailure(w, err)
		return
	}
	writeJSON(w, http.StatusOK, done)
}

// Reload has the configuration read again, and returns what has changed.
func (c *Client) Reload(ctx context.Context) (Reloaded, error) {
	var done Reloaded
	err := c.ask(ctx, http.MethodPost, "api/v1/reload", nil, &done)
	return done, err
}
