package migration

import (
	"crypto/sha256"
	"fmt"
	"sync"

	"tandem/config"
	"tandem/proxy"
	"tandem/router"
)

// scriptModes are the values of the key scripts.
var scriptModes = map[string]proxy.Scripts{
	"auto": proxy.ScriptsAuto, "replay": proxy.ScriptsReplay, "copy": proxy.ScriptsCopy,
}

// allow fills in who may connect and which commands may pass, as the configuration says.
func allow(o *proxy.Options, cfg *config.Config) error {
	o.Auth = proxy.Auth{Mode: proxy.AuthMode(cfg.Auth.Mode), Cache: cfg.Auth.Cache,
		Users: map[string][sha256.Size]byte{}, Reread: map[string]func() [sha256.Size]byte{}}
	for _, u := range cfg.Auth.Users {
		digest, err := u.Digest()
		if err != nil {
			return fmt.Errorf("auth.users: %s: %w", u.Name, err)
		}
		o.Auth.Users[u.Name] = digest
		if u.PasswordFile != "" {
			o.Auth.Reread[u.Name] = reread(u, digest)
		}
	}
	names := make([]string, 0, len(cfg.Commands.Deny))
	for _, name := range cfg.Commands.Deny {
		names = append(names, string(name))
	}
	var err error
	if o.Deny, err = router.NewDeny(names); err != nil {
		return fmt.Errorf("commands.deny: %w", err)
	}
	o.Writes = map[string]*router.Command{}
	for _, w := range cfg.Commands.Writes {
		last := w.LastKey
		if last == 0 {
			last = w.FirstKey
		}
		o.Writes[string(w.Name)] = router.FromConfig(string(w.Name), w.FirstKey, last, w.Step)
	}
	return nil
}

// reread returns what reads a user's password file. While it cannot be read, the password is what it was last.
func reread(u config.User, last [sha256.Size]byte) func() [sha256.Size]byte {
	var mu sync.Mutex
	return func() [sha256.Size]byte {
		mu.Lock()
		defer mu.Unlock()
		if digest, err := u.Digest(); err == nil {
			last = digest
		}
		return last
	}
}

// info is what INFO says of Tandem.
func (m *Migration) info() []string {
	s := m.Status()
	return []string{
		"tandem_id:" + m.id,
		"tandem_phase:" + s.Phase,
		"tandem_primary:" + s.Primary,
		fmt.Sprintf("tandem_uptime_in_seconds:%d", s.UptimeS),
		fmt.Sprintf("tandem_sessions:%d", s.Sessions),
		fmt.Sprintf("tandem_dirty_keys:%d", s.DirtyKeys),
		fmt.Sprintf("tandem_unsettled_writes:%d", s.UnsettledWrites),
		"tandem_source:" + m.source.Addr,
		"tandem_target:" + m.target.Addr,
	}
}
