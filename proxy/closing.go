package proxy

// CloseReason says why a client's connection ended. Logs and metrics share its texts.
type CloseReason uint8

// The reasons.
const (
	notClosed       CloseReason = iota
	ClientGone                  // the client closed or reset the connection
	ClientQuit                  // QUIT
	ProtocolError               // bytes that are not Redis protocol, or over a limit of it
	OutputLimit                 // replies piled up beyond clients.output_limit_bytes
	WriteTimeout                // the client took no byte for clients.write_timeout
	IdleTimeout                 // the client was silent for clients.idle_timeout
	MaxClients                  // one client too many
	PrimaryLost                 // the primary's connection broke while commands of this client were on it
	PrimaryProtocol             // the primary answered something that is not a reply
	ShuttingDown                // the proxy stops
	Killed                      // CLIENT KILL
	ShutOut                     // the primary no longer lets this user in
	MemoryLimit                 // all clients together occupied more than clients.memory_bytes, and this one most
	NotServed                   // nobody is let in now: listen_target before the phase two_way
	closeReasons
)

var closeTexts = [closeReasons]string{
	notClosed:       "open",
	ClientGone:      "client_gone",
	ClientQuit:      "quit",
	ProtocolError:   "protocol_error",
	OutputLimit:     "output_limit",
	WriteTimeout:    "write_timeout",
	IdleTimeout:     "idle_timeout",
	MaxClients:      "max_clients",
	PrimaryLost:     "primary_lost",
	PrimaryProtocol: "primary_protocol",
	ShuttingDown:    "shutdown",
	Killed:          "killed",
	ShutOut:         "shut_out",
	MemoryLimit:     "memory_limit",
	NotServed:       "not_served",
}

func (r CloseReason) String() string { return closeTexts[r] }

// CloseReasons lists all reasons, for metrics.
func CloseReasons() []CloseReason {
	all := make([]CloseReason, 0, closeReasons)
	for r := ClientGone; r < closeReasons; r++ {
		all = append(all, r)
	}
	return all
}
