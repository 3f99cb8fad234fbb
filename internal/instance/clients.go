package instance

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Client is a connection to a server, as CLIENT LIST shows it. What a version does not tell is empty or 0.
type Client struct {
	// ID is the server's number for the connection.
	ID int64
	// Addr is where it comes from, host:port; empty for one that was reset before the server asked.
	Addr string
	// Name is what CLIENT SETNAME has given it, User whom it has logged in as (from 6.0).
	Name, User string
	// DB is its database.
	DB int
	// Flags are one letter each: N normal, S replica, M master, P subscribed, O monitor, x in a transaction, ...
	Flags string
	// Command is the last one, in lower case, "client|list" or before 7.0 "client"; "NULL" before the first.
	Command string
	// Age is since when it is connected, Idle since when it has been sent nothing. Whole seconds.
	Age, Idle time.Duration
}

// IsOurs reports whether the connection is one that Tandem has opened, of this process or another.
func (c *Client) IsOurs() bool {
	return isOurs(c.Name) || strings.HasPrefix(c.Name, controlName) || c.Name == PrecheckName
}

// PrecheckName is the name of a precheck's connections. It is not a name of a migration's: nobody looks for it.
const PrecheckName = "tandem-precheck"

// Clients returns all connections to the server but the one that asks. It fails with ErrCommandRefused where CLIENT
// LIST is not to be had, or shows a proxy's connections and not ours, or where ours cannot be told from others
// because they could not be named: then nobody knows.
func (i *Instance) Clients(ctx context.Context) ([]Client, error) {
	clients, asker, err := i.listed(ctx)
	if err != nil {
		return nil, err
	}
	if i.unnamed.Load() {
		return nil, fmt.Errorf("%s: CLIENT SETNAME is refused, so nobody can tell which connections are ours: %w", i, ErrCommandRefused)
	}
	return slices.DeleteFunc(clients, func(cl Client) bool { return cl.Name == asker }), nil
}

// Others returns the ids, sorted, of other tandem processes (other than id) that have connections to this
// server. It fails with ErrCommandRefused where CLIENT LIST is not to be had, or shows a proxy's connections
// and not ours: then nobody knows.
func (i *Instance) Others(ctx context.Context, id string) ([]string, error) {
	clients, _, err := i.listed(ctx)
	if err != nil {
		return nil, err
	}
	return OtherProcesses(clients, id), nil
}

// listed asks CLIENT LIST on a connection of its own, and returns what that one is called, too.
func (i *Instance) listed(ctx context.Context) (clients []Client, asker string, err error) {
	c, err := i.control(ctx)
	if err != nil {
		return nil, "", err
	}
	defer c.Close()
	clients, err = c.clients(ctx)
	return clients, c.name, err
}

// OtherProcesses returns the ids, sorted, of tandem processes other than id among the connections.
func OtherProcesses(clients []Client, id string) []string {
	var others []string
	for _, cl := range clients {
		if other, _, _, ok := ParseConnName(cl.Name); ok && other != id && other != TrialID {
			others = append(others, other)
		}
	}
	slices.Sort(others)
	return slices.Compact(others)
}

// clients asks CLIENT LIST. A list without the connection that asks is as good as a refused one.
func (c *control) clients(ctx context.Context) ([]Client, error) {
	v, err := c.Do(ctx, "CLIENT", "LIST")
	if err != nil {
		return nil, err
	}
	clients, err := parseClientList(string(v.Str))
	if err != nil {
		return nil, fmt.Errorf("%s: CLIENT LIST: %w", c.i, err)
	}
	if c.Named && !slices.ContainsFunc(clients, func(cl Client) bool { return cl.Name == c.name }) {
		return nil, fmt.Errorf("%s: CLIENT LIST does not show our own connection: %w", c.i, ErrCommandRefused)
	}
	return clients, nil
}

// parseClientList reads lines of key=value pairs. Fields come and go with versions; id, addr and name have
// been there since 2.8. A line without an id or an addr cannot be killed and is an error: passing over it
// would call a connection dead that is not. The addr may be empty, though: that of a connection which its
// client has reset, before the server asked for it the first time. Such a one may have commands to be executed
// still, and is killed by that empty addr.
func parseClientList(text string) ([]Client, error) {
	var clients []Client
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		var cl Client
		hasID, hasAddr := false, false
		for field := range strings.SplitSeq(line, " ") {
			key, value, _ := strings.Cut(field, "=")
			switch key {
			case "id":
				n, err := strconv.ParseInt(value, 10, 64)
				if err != nil {
					return nil, fmt.Errorf("%w: id %q", ErrNotRedis, value)
				}
				cl.ID, hasID = n, true
			case "addr":
				cl.Addr, hasAddr = value, true
			case "name":
				cl.Name = value
			case "user":
				cl.User = value
			case "flags":
				cl.Flags = value
			case "cmd":
				cl.Command = value
			case "db":
				cl.DB, _ = strconv.Atoi(value)
			case "age":
				cl.Age = wholeSeconds(value)
			case "idle":
				cl.Idle = wholeSeconds(value)
			}
		}
		if !hasID || !hasAddr {
			return nil, fmt.Errorf("%w: a client without id or addr", ErrNotRedis)
		}
		clients = append(clients, cl)
	}
	return clients, nil
}

func wholeSeconds(text string) time.Duration {
	n, _ := strconv.ParseInt(text, 10, 32)
	return time.Duration(max(n, 0)) * time.Second
}
