package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tandem/test/wire"
)

// patience bounds every wait for a reply, a blocked client or a condition. It ends a run that would hang.
var patience = 5 * time.Second

// session is one connection of a scenario.
type session struct {
	conn net.Conn
	r    *bufio.Reader
	// monitors is set behind MONITOR.
	monitors bool
	// waitsAs is the server's id of the client that a command of this session has blocked; empty behind its reply.
	waitsAs string
}

// dial connects, speaks the protocol and selects the database. What it is answered to that is not compared.
func dial(addr string, protocol, db int) (*session, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	s := &session{conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
	var hello [][]string
	if protocol == 3 {
		hello = append(hello, []string{"HELLO", "3"})
	}
	if db != 0 {
		hello = append(hello, []string{"SELECT", strconv.Itoa(db)})
	}
	for _, command := range hello {
		reply, err := s.do(command...)
		if err == nil && reply.IsError() {
			err = errors.New(reply.Text)
		}
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("%s: %w", strings.Join(command, " "), err)
		}
	}
	return s, nil
}

func (s *session) send(commands ...[]string) error {
	var b []byte
	for _, c := range commands {
		b = wire.AppendCommand(b, c...)
	}
	return s.write(b)
}

func (s *session) write(b []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return fmt.Errorf("deadline: %w", err)
	}
	if _, err := s.conn.Write(b); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// noReply begins the error of who has waited in vain.
const noReply = "no reply"

func (s *session) receive() (Reply, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return Reply{}, fmt.Errorf("deadline: %w", err)
	}
	reply, err := readReply(s.r)
	if err != nil {
		return reply, fmt.Errorf(noReply+": %w", err)
	}
	return reply, nil
}

func (s *session) do(args ...string) (Reply, error) {
	if err := s.send(args); err != nil {
		return Reply{}, err
	}
	return s.receive()
}

// closed waits for the end of the connection; anything else that comes is an error. What was written to a
// connection that the other side has closed makes its end a reset.
func (s *session) closed() error {
	reply, err := s.receive()
	switch {
	case err == nil:
		return fmt.Errorf("received %s instead of the connection's end", reply)
	case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET):
		return nil
	}
	return fmt.Errorf("the connection does not end: %w", err)
}

// Control is a connection to a server for what the clients of a run do not do.
type Control struct{ *session }

// DialControl connects to a server.
func DialControl(addr string) (*Control, error) {
	s, err := dial(addr, 2, 0)
	if err != nil {
		return nil, fmt.Errorf("control of %s: %w", addr, err)
	}
	return &Control{s}, nil
}

// Close ends the connection.
func (c *Control) Close() { c.conn.Close() }

// Must runs a command whose error reply is an error.
func (c *Control) Must(args ...string) (Reply, error) {
	reply, err := c.do(args...)
	if err == nil && reply.IsError() {
		err = errors.New(reply.Text)
	}
	if err != nil {
		return reply, fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return reply, nil
}

// blocked are the server's clients that wait: the names of their commands, by id.
func (c *Control) blocked() (map[string]string, error) {
	list, err := c.Must("CLIENT", "LIST")
	if err != nil {
		return nil, err
	}
	waiting := map[string]string{}
	for _, line := range strings.Split(list.Text, "\n") {
		id, flags, command := "", "", ""
		for _, field := range strings.Fields(line) {
			name, value, _ := strings.Cut(field, "=")
			switch name {
			case "id":
				id = value
			case "flags":
				flags = value
			case "cmd":
				command = value
			}
		}
		if strings.Contains(flags, "b") {
			waiting[id] = strings.ToUpper(command)
		}
	}
	return waiting, nil
}
