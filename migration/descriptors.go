package migration

import (
	"log/slog"

	"golang.org/x/sys/unix"

	"tandem/config"
	"tandem/proxy"
)

// ownDescriptors is how many file descriptors are kept from clients: for the lanes of a few accounts and databases, the
// feeds, the copier, a sweep, a verify, the admin address, the state directory. With few in all it is a quarter.
const ownDescriptors = 256

// files is how many files the process may open, 0 if that is not bounded. (Go has raised it to the hard limit.)
func files() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 1<<30 {
		return 0
	}
	return int(limit.Cur)
}

// handshakes is how many clients may be in the middle of a TLS handshake: an eighth of all files at most.
func handshakes(cfg *config.Config) int {
	if all := files(); all > 0 {
		return min(cfg.Clients.Max, max(1, all/8))
	}
	return cfg.Clients.Max
}

// descriptors bounds how many file descriptors clients may use, by what the process may open. It says so where
// clients.max does not fit.
func descriptors(cfg *config.Config, log *slog.Logger) *proxy.Descriptors {
	all := files()
	if all == 0 {
		return nil
	}
	most := all - min(ownDescriptors, all/4)
	if cfg.TLS.Enabled() {
		most -= handshakes(cfg)
	}
	if most < cfg.Clients.Max {
		log.Warn("the process may open too few files for clients.max: raise LimitNOFILE (ulimit -n)",
			"clients.max", cfg.Clients.Max, "files", all, "clients", most)
	}
	return proxy.NewDescriptors(most)
}
