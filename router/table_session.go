package router

// Why a command is refused: what stands behind "XYZ is not supported:" in the error's text.
const (
	reasonHTTP          = "it is HTTP"
	reasonReplication   = "replication is the servers' own affair"
	reasonDebugger      = "a debugging session speaks another protocol"
	reasonInternal      = "it is about the connection, which is not the client's"
	reasonPush          = "its message could be taken for another client's reply"
	reasonLearnedPubSub = "it may change what the replies of its connection mean"
)

// What concerns only the connection of this or another client. The flags that CLIENT CAPA and CLIENT
// IMPORT-SOURCE set belong to a connection, and so to the session: a lane that is shared has them for all.
var sessionTable = []Command{
	session("PING", -1),
	session("ECHO", 2),
	session("HELLO", -1),
	session("AUTH", -2),
	session("SELECT", 2),
	session("QUIT", -1),
	session("RESET", 1),
	session("MONITOR", 1),
	container("CLIENT"),
	session("CLIENT SETNAME", 3),
	session("CLIENT GETNAME", 2),
	session("CLIENT SETINFO", 4),
	session("CLIENT ID", 2),
	session("CLIENT INFO", 2),
	session("CLIENT LIST", -2),
	session("CLIENT KILL", -3),
	session("CLIENT UNBLOCK", -3),
	session("CLIENT REPLY", 3),
	session("CLIENT CACHING", 3),
	session("CLIENT CAPA", -3),
	session("CLIENT GETREDIR", 2),
	session("CLIENT IMPORT-SOURCE", 3),
	session("CLIENT NO-EVICT", 3),
	session("CLIENT NO-TOUCH", 3),
	session("CLIENT TRACKING", -3),
	session("CLIENT TRACKINGINFO", 2),
	read("CLIENT PAUSE", -3, ""), // the server pauses all its clients, its replicas and the expiry of keys
	read("CLIENT UNPAUSE", 2, "", apart),
	read("CLIENT HELP", 2, ""),

	transaction("MULTI", 1, ""),
	transaction("EXEC", 1, ""),
	transaction("DISCARD", 1, ""),
	transaction("WATCH", -2, "R1:-1"),
	transaction("UNWATCH", 1, ""),

	read("WAIT", 3, "", blocks(blocking{at: 2})),
	read("WAITAOF", 4, "", blocks(blocking{at: 3})),

	// Flags of a connection to a node of a cluster: outside of one, errors and OKs.
	read("ASKING", 1, ""),
	read("READONLY", 1, ""),
	read("READWRITE", 1, ""),

	refuse("POST", -1, reasonHTTP), // the server closes the connection
	refuse("HOST:", -1, reasonHTTP),
}

// Messages.
var messageTable = []Command{
	subscription("SUBSCRIBE", -2),
	subscription("UNSUBSCRIBE", -1),
	subscription("PSUBSCRIBE", -2),
	subscription("PUNSUBSCRIBE", -1),
	subscription("SSUBSCRIBE", -2),
	subscription("SUNSUBSCRIBE", -1),
	read("PUBLISH", 3, ""),
	read("SPUBLISH", 3, ""),
	container("PUBSUB"),
	read("PUBSUB CHANNELS", -2, ""),
	read("PUBSUB HELP", 2, ""),
	read("PUBSUB NUMPAT", 2, ""),
	read("PUBSUB NUMSUB", -2, ""),
	read("PUBSUB SHARDCHANNELS", -2, ""),
	read("PUBSUB SHARDNUMSUB", -2, ""),
}
