package main

import (
	"log/slog"

	"tandem/config"
	"tandem/internal/instance"
	"tandem/internal/tlsconn"
)

// newInstance is one of the two servers as it is configured. Its errors are those of a configuration.
func newInstance(role instance.Role, c config.Instance, log *slog.Logger) (*instance.Instance, error) {
	wrong := func(key string, err error) error {
		return &config.Error{Problems: []config.Problem{{Key: string(role) + "." + key, Wrong: "cannot be used", Do: err.Error()}}}
	}
	url, err := c.DialURL()
	if err != nil {
		return nil, wrong("url", err)
	}
	var o instance.Options
	if c.URL.TLS() {
		t := c.TLSOptions(role)
		t.Log = log.With("instance", string(role))
		if o.TLS, err = tlsconn.NewClient(t); err != nil {
			return nil, wrong("tls", err)
		}
		if t.Insecure {
			log.Warn("any certificate of this server is taken: whoever is on the way to it can read and change everything",
				"instance", string(role), "setting", t.Keys+"insecure_skip_verify")
		}
	}
	i, err := instance.New(role, url, o)
	if err != nil {
		return nil, wrong("url", err)
	}
	return i, nil
}
