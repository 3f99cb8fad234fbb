package admin

import (
	"context"
	"net/http"

	"tandem/internal/status"
)

// ThrottleOptions change how fast is copied, until a restart. What is nil stays as it is.
type ThrottleOptions struct {
	// MaxKeysPerS, MaxBytesPerS, WindowBytes and Workers are as the settings of the same names; of the first two, 0 is no
	// limit.
	MaxKeysPerS  *int   `json:"max_keys_per_s,omitempty"`
	MaxBytesPerS *int64 `json:"max_bytes_per_s,omitempty"`
	WindowBytes  *int64 `json:"window_bytes,omitempty"`
	Workers      *int   `json:"workers,omitempty"`
	// Windows tells whether the windows of the day count.
	Windows *bool `json:"windows,omitempty"`
	// Governor tells whether copying yields to clients.
	Governor *bool `json:"governor,omitempty"`
}

// throttle changes how fast is copied; an empty body only asks.
func (s *Server) throttle(w http.ResponseWriter, r *http.Request) {
	var o ThrottleOptions
	if !readBody(w, r, &o) {
		return
	}
	var record *step
	if o != (ThrottleOptions{}) {
		if caller(r).readOnly {
			s.mayOnlyRead(w, r)
			return
		}
		record, _ = s.begin(w, r, "throttle", "", o) // it is no step that must leave a record
	}
	t, err := s.options.Controller.Throttle(r.Context(), o)
	if record != nil {
		record.end(err)
	}
	if err != nil {
		writeFailure(w, err)
		return
	}
	writeJSON(w, http.StatusOK, t)
}

// Throttle changes how fast is copied, and returns what counts now.
func (c *Client) Throttle(ctx context.Context, o ThrottleOptions) (status.ThrottleStatus, error) {
	var t status.ThrottleStatus
	err := c.ask(ctx, http.MethodPost, "api/v1/throttle", o, &t)
	return t, err
}
