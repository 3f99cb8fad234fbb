package status

import (
	"cmp"
	"slices"
)

// Clients are those that are connected to Tandem, as CLIENT LIST would show them, in groups: an application has many
// connections that are alike. It is served beside the status, for there may be a lot of it.
type Clients struct {
	// Connections is how many there are in all.
	Connections int64 `json:"connections"`
	// Groups are those with the most connections first. Never null.
	Groups []ClientGroup `json:"groups"`
	// LeftOut is how many connections are in groups that are left out because there are too many groups.
	LeftOut int64 `json:"left_out"`
}

// Sort puts the groups with the most connections first.
func (c *Clients) Sort() {
	slices.SortFunc(c.Groups, func(a, b ClientGroup) int {
		return cmp.Or(cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Listener, b.Listener), cmp.Compare(a.Host, b.Host),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.Library, b.Library), cmp.Compare(a.User, b.User))
	})
}

// ClientGroup are connections from one host, by one user, under one name.
type ClientGroup struct {
	// Listener is where they have connected: listen or listen_target.
	Listener string `json:"listener"`
	// Host is where they come from, without the port.
	Host string `json:"host"`
	// Name is what they have named themselves (CLIENT SETNAME), Library what has connected them (CLIENT SETINFO); either may
	// be empty.
	Name    string `json:"name"`
	Library string `json:"library"`
	// User is whom they have logged in as.
	User string `json:"user"`
	// Connections is how many they are; Active how many of them have sent something in the last ten seconds.
	Connections int64 `json:"connections"`
	Active      int64 `json:"active"`
	// IdleS is how long ago the last of them has sent something.
	IdleS int64 `json:"idle_s"`
	// Command is what that was; empty before the first.
	Command string `json:"command"`
}
