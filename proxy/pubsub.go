package proxy

import (
	"strings"

	"tandem/router"
)

// pubSub is a command that subscribes or ends subscriptions. The session has a lane of its own as long as it
// has subscriptions, so the messages, their order among its replies, and what PUBLISH counts are the server's.
func (s *session) pubSub(cmd *router.Command, raw []byte, args [][]byte) bool {
	kind := strings.ToLower(cmd.Name)
	set, takes := s.subs.of(kind)
	if !s.pin(pinSubscribed) {
		return false
	}
	r := s.request()
	r.cmd, r.src, r.replies, r.own = cmd, raw, 1, true
	r.sub = &subRequest{n: max(1, len(args)-1)}
	if takes && len(args) == 1 {
		// The server confirms each that there is, or says once that there is none.
		s.sh.lock()
		r.sub.n = max(1, len(*set))
		s.sh.unlock()
	}
	s.add(r)
	if !s.submit() {
		return false
	}
	// Which commands the server takes next depends on what is left.
	if !s.awaitAnswers() {
		return false
	}
	s.sh.lock()
	if !s.subs.any() {
		s.pins &^= pinSubscribed
		s.leavePin()
	}
	s.sh.unlock()
	return true
}

// confirmsMuted reports whether the primary confirms subscriptions to a client that wants no replies, as one that
// it has not asked for: Redis 7.0 and later do. The lock is held.
func (sh *Shard) confirmsMuted() bool {
	v := sh.env.Primary.Version
	return v == 0 || v >= 70000
}

// onlySubscribed reports whether the session is in the mode of RESP2 in which the server takes nothing but what
// concerns subscriptions, and answers PING in another form.
func (s *session) onlySubscribed(cmd *router.Command) bool {
	if s.pins&pinSubscribed == 0 || s.resp3 {
		return false
	}
	return cmd == nil || cmd.Class != router.PubSub && cmd.Name != "QUIT" && cmd.Name != "RESET"
}
