// Package trace tells a collector of OpenTelemetry traces what has become of some of the clients' commands: when each
// came, how long it waited, how long the primary took, and what became of its effect on the secondary.
//
//	proxy ──Offer──► queue ──► OTLP message (otlp.go) ──► POST to the collector (send.go)
//
// It owns the queue, which never makes anybody wait, and the form of what is sent. Which commands are chosen, and what is
// known of them, is the proxy's affair. It never sees a value, and sees keys only where somebody has asked for them.
package trace

import "time"

// What has become of a write's effect.
const (
	// NoEffect: it changed nothing, or nothing is replicated.
	NoEffect = "none"
	// Copied: its keys are copied instead, at some later time.
	Copied = "copy"
	// Pending: the secondary's lane has it.
	Pending = "pending"
	// Acknowledged: the secondary has answered as it should.
	Acknowledged = "acknowledged"
	// Mismatched: it has answered otherwise. The keys are copied.
	Mismatched = "mismatched"
	// AtExpiry: it met a key about to expire. The keys are copied.
	AtExpiry = "at_expiry"
	// Refused: the secondary does not take it now. The keys are copied.
	Refused = "refused"
	// Lost: the connection broke before it was answered. The keys are copied.
	Lost = "lost"
)

// What a command has met that was not answered by the primary.
const (
	// Unsent: it was answered by Tandem in the primary's place.
	Unsent = "not_sent"
	// Broken: the connection broke before the primary's answer; nobody knows whether it was executed.
	Broken = "connection_lost"
)

// Command is one command of a client. All times are Unix ns, and 0 where that has not come about.
type Command struct {
	// Name is that of the command, Class as the label of tandem_command_duration_seconds.
	Name, Class string
	// Session is the client's connection, as CLIENT ID gives it; DB the database by the source's number.
	Session int64
	DB      int
	// Keys are the names of its keys, if they are asked for.
	Keys []string
	// Phase is that of the migration when it was answered, Primary the instance that answered.
	Phase, Primary string
	// Arrived is when it was read whole, Sent when it was put on its way to the primary, Answered when the answer was there.
	Arrived, Sent, Answered int64
	// Failed is how the primary's error begins (WRONGTYPE), or Unsent or Broken; empty for success.
	Failed string

	// Effect is what became of its effect, NoEffect to Lost; empty for what has none by its nature.
	Effect string
	// Secondary is where the effect was sent. Handed is when its lane got it, Acked when it was answered.
	Secondary     string
	Handed, Acked int64
	// Gate is how long the client's answer waits for the effect at most (ack: both); 0: it does not.
	Gate time.Duration
}

// end is when the client was answered.
func (c *Command) end() int64 {
	if c.Gate > 0 && c.Acked > c.Answered {
		return min(c.Acked, c.Answered+int64(c.Gate))
	}
	return c.Answered
}
