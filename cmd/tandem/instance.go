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
	var o instance.Options
	var err error
	if c.PasswordFile != "" {
		if o.Password, err = c.ReadPassword(); err != nil {
			return nil, wrong("password_file", err)
		}
		o.Reread = c.ReadPassword
	}
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
	i, err := instance.New(role, string(c.URL), o)
	if err != nil {
		return nil, wrong("url", err)
	}
	return i, nil
}
