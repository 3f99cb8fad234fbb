package redisd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// probeTimeout bounds one attempt; a server that is starting either refuses at once or answers soon.
const probeTimeout = 2 * time.Second

var errLoading = errors.New("loading its data")

// probe asks whether the server on addr serves and is the process pid. A refusal of the question (ACL,
// renamed commands) counts as an answer.
func probe(addr, password string, pid int) error {
	if _, err := ask(addr, password, probeTimeout, "PING"); err != nil {
		if strings.HasPrefix(err.Error(), "-LOADING") {
			return errLoading
		}
		if !strings.HasPrefix(err.Error(), "-") {
			return err
		}
	}
	info, err := ask(addr, password, probeTimeout, "INFO", "server")
	if err != nil {
		if strings.HasPrefix(err.Error(), "-") {
			return nil
		}
		return err
	}
	if !strings.Contains(info, "\nprocess_id:"+strconv.Itoa(pid)+"\r") {
		return errors.New("another process has the port")
	}
	return nil
}

// ask sends one command on a connection of its own and returns a simple or bulk string reply. An error
// reply is an error that begins with "-".
func ask(addr, password string, timeout time.Duration, args ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	r := bufio.NewReader(conn)
	if password != "" {
		if _, err := exchange(conn, r, "AUTH", password); err != nil {
			return "", err
		}
	}
	return exchange(conn, r, args...)
}

func exchange(w io.Writer, r *bufio.Reader, args ...string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return "", err
	}
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	switch {
	case strings.HasPrefix(line, "-"):
		return "", errors.New(line)
	case strings.HasPrefix(line, "$"):
		n, err := strconv.Atoi(line[1:])
		if err != nil || n < 0 || n > 1<<20 {
			return "", fmt.Errorf("unexpected reply %q", line)
		}
		body := make([]byte, n)
		_, err = io.ReadFull(r, body)
		return string(body), err
	}
	return line, nil
}
