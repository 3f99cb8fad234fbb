package main

import (
	"net"
	"os"

	"github.com/spf13/cobra"

	"tandem/config"
	"tandem/internal/admin"
)

// remote is the running tandem that a command talks to.
type remote struct{ address string }

// addRemote gives a command --admin.
func addRemote(cmd *cobra.Command) *remote {
	r := new(remote)
	cmd.Flags().StringVar(&r.address, "admin", "", "admin `URL` of the running tandem (default http://"+config.Default().Admin.Listen+")")
	return r
}

// client returns a client of the running tandem, which the caller closes. The token comes from
// TANDEM_ADMIN_TOKEN, or the file that TANDEM_ADMIN_TOKEN_FILE names: a flag would show it to everybody who lists processes.
func (r *remote) client() (*admin.Client, error) {
	if problems := config.CheckEnvironment(); len(problems) > 0 {
		return nil, &config.Error{Problems: problems}
	}
	address := r.address
	if address == "" {
		if address = reachable(os.Getenv("TANDEM_ADMIN_LISTEN")); os.Getenv("TANDEM_ADMIN_TLS_CERT_FILE") != "" {
			address = "https://" + address
		}
	}
	settings := config.Admin{Token: config.Secret(os.Getenv("TANDEM_ADMIN_TOKEN")), TokenFile: os.Getenv("TANDEM_ADMIN_TOKEN_FILE")}
	token, err := settings.ReadToken()
	if err != nil {
		return nil, &usageError{err}
	}
	c, err := admin.NewClient(address, token)
	if err != nil {
		return nil, &usageError{err}
	}
	return c, nil
}

// reachable is the address to connect to for one that serve listens on: where it listens on every address
// of a machine, this machine. Empty is the default.
func reachable(listen string) string {
	if listen == "" {
		listen = config.Default().Admin.Listen
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
