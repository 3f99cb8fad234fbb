package precheck

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tandem/internal/instance"
)

// connName is the name of all connections but those of trials.
const connName = instance.PrecheckName

// reachable connects. Wrong credentials are the next check's subject: the server answered.
func reachable(ctx context.Context, _ *run, s *side) finding {
	s.conn, s.connErr = s.Conn(ctx, connName, 0)
	if s.connErr == nil {
		s.has = reached
		return success("%s answers", s.Addr)
	}
	switch err := s.connErr; {
	case errors.Is(err, instance.ErrCredentials):
		s.has = reached
		return success("%s answers", s.Addr)
	case errors.Is(err, instance.ErrUnreachable):
		return failed(fmt.Sprintf("check host and port of the %s URL, that the server runs and listens on that address "+
			"(its bind setting), and firewalls and security groups between here and there", s.Role), "%v", err)
	case errors.Is(err, instance.ErrNotRedis):
		return failed(fmt.Sprintf("check the port of the %s URL; if it is a TLS port, write rediss:// instead of redis://", s.Role), "%v", err)
	case errors.Is(err, instance.ErrTLS): // is ErrNoAnswer too
		return failed(fmt.Sprintf("do what the error says; the settings of TLS to this server begin with %s.tls", s.Role), "%v", err)
	case errors.Is(err, instance.ErrNoAnswer):
		return failed("check that the server is not stalled, full of connections or in protected mode, and, if its port "+
			"speaks TLS, that the URL begins with rediss://", "%v", err)
	default:
		return broken(err)
	}
}

func loggedIn(_ context.Context, _ *run, s *side) finding {
	if s.connErr != nil {
		return failed(fmt.Sprintf("correct user and password: redis://user:password@%s, or redis://:password@%s for the default user",
			s.Addr, s.Addr), "%v", s.connErr)
	}
	s.has = login
	if s.User == "" {
		return success("as the default user")
	}
	return success("as user %s", s.User)
}

func info(ctx context.Context, r *run, s *side) finding {
	f, err := s.Facts(ctx)
	switch {
	case errors.Is(err, instance.ErrCommandRefused):
		if kind, _ := s.infoField(ctx, "redis_mode"); kind == "sentinel" {
			return keyless(kind)
		}
		return failed(s.allow(err, "info", "time", "select", "dbsize"), "%v", err)
	case err != nil:
		return broken(err)
	}
	state, err := s.conn.Do(ctx, "INFO", "persistence")
	if err != nil {
		return broken(err)
	}
	if strings.Contains(string(state.Str), "\nloading:1") { // what it tells of its keys is a part of them
		return failed(states["LOADING"]+", and run the precheck again", "%s, and it is loading its data", f.Version)
	}
	all := f.KeysTotal()
	f.Keys, s.staying = r.apart(s, f.Keys)
	s.info = f
	s.has = facts
	return success("%s, %s, %d databases", f.Version, keysIn(all), f.Databases)
}

func mode(_ context.Context, r *run, s *side) finding {
	switch s.info.Mode {
	case "standalone":
		return success("standalone")
	case "cluster":
		r.unfit = true
		return failed("use a server with cluster mode off (cluster-enabled no, or the provider's non-cluster edition)",
			"a node of a cluster")
	}
	r.unfit = true
	return keyless(s.info.Mode)
}

// keyless is the finding of a server that is there for others, as a sentinel is, which refuses most commands.
func keyless(kind string) finding {
	return failed("give the address of the Redis server itself", "a %s, which holds no keys", kind)
}

func role(_ context.Context, r *run, s *side) finding {
	f, other := s.info, s.other
	if f.ReplicationRole == "master" {
		return success("a primary")
	}
	r.unfit = true
	if other.has >= facts && (f.MasterAddr == other.Addr || f.ReplicationID != "" && f.ReplicationID == other.info.ReplicationID) {
		return failed(fmt.Sprintf("end the replication on %s (REPLICAOF NO ONE), and then empty it if it is the target", s.Addr),
			"a replica of %s, in one replication with the %s", f.MasterAddr, other.Role)
	}
	if s.Role == instance.Target {
		return failed("give the address of a primary, or end the replication there (REPLICAOF NO ONE)", "a replica of %s", f.MasterAddr)
	}
	return failed(fmt.Sprintf("give the address of its primary, %s", f.MasterAddr), "a replica of %s", f.MasterAddr)
}

// distinct compares run ids, and then looks whether what is written to the one shows on the other: providers
// that put a proxy before their servers may hide or make up run ids.
func distinct(ctx context.Context, r *run, _ *side) finding {
	source, target := r.source, r.target
	remedy := "give two different servers: " + source.Addr + " and " + target.Addr + " are names of one"
	if source.info.RunID != "" && source.info.RunID == target.info.RunID {
		r.unfit = true
		return failed(remedy, "both have run id %s", source.info.RunID)
	}
	if r.unfit {
		return success("run ids differ")
	}
	token := r.scratch + " is here"
	if _, err := source.conn.Do(ctx, "SET", r.scratch, token, "PX", scratchTTL); err != nil {
		return withoutScratch(err)
	}
	seen, err := target.conn.Do(ctx, "GET", r.scratch)
	if err != nil {
		return withoutScratch(err)
	}
	if string(seen.Str) == token {
		r.unfit = true
		return failed(remedy+" (or one replicates the other)", "a key written to the source appears on the target")
	}
	if _, err := source.conn.Do(ctx, "DEL", r.scratch); err != nil {
		return withoutScratch(err)
	}
	return success("run ids differ, and a key written to the source does not appear on the target")
}

// withoutScratch is for a check that can do with less when a command is refused; what is refused is the
// subject of the commands check. A broken connection is not to be passed over.
func withoutScratch(err error) finding {
	var reply *instance.ReplyError
	if errors.As(err, &reply) {
		return success("run ids differ; with a key it could not be tried: %s", reply.Text)
	}
	return broken(err)
}
