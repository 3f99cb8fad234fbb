// Package node plays scenarios of clients that run in Node.js: ioredis, node-redis and BullMQ. A process plays all
// scenarios of one library at once; it asks for batches and tells of its rounds over its standard streams.
package node

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"tandem/test/clients/stage"
	"tandem/test/clients/workload"
	"tandem/test/program"
)

// script is a part that is a process of its own: node with these arguments.
func script(name string, args ...string) stage.Part {
	return stage.Part{Name: name, Play: func(p *stage.Player) error { return play(p, args) }}
}

// said is a line of the process: one of its fields is set.
type said struct {
	Rounds  int64
	Need    int64 // a batch, with this prefix
	Prefix  string
	Ack     bool // of a switch
	Problem string
}

// process is a running one. Lines to it are written under its lock.
type process struct {
	p    *stage.Player
	acks chan struct{}

	mu sync.Mutex
	in io.Writer
}

func (r *process) tell(message any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err = r.in.Write(append(line, '\n'))
	return err
}

// ackTime is how long a process may take to hear of a switch: its loop has other work, on a loaded machine.
const ackTime = 10 * time.Second

// play runs the process until it ends, which it does when it is told to stop.
func play(p *stage.Player, args []string) error {
	features, err := json.Marshal(p.Features)
	if err != nil {
		return err
	}
	cmd := exec.Command("node", args...)
	cmd.Env = append(program.Environment(), "CLIENT_ADDR="+p.Addr, "CLIENT_PREFIX="+p.Prefix, "CLIENT_FEATURES="+string(features),
		"CLIENT_SCENARIOS="+os.Getenv("TANDEM_TEST_SCENARIOS"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	r := &process{p: p, in: in, acks: make(chan struct{}, 1)}
	p.OnSwitch(func(bool) {
		if r.tell(map[string]bool{"switch": true}) != nil {
			return // it has ended, which play reports
		}
		select {
		case <-r.acks:
		case <-time.After(ackTime):
		}
	})
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-p.Stopping():
			r.tell(map[string]bool{"stop": true}) // one that has ended hears nothing
		case <-ended:
		}
	}()
	err = r.listen(out)
	if err != nil {
		cmd.Process.Kill()
	}
	if failed := cmd.Wait(); err == nil && failed != nil {
		err = fmt.Errorf("node %s: %w", strings.Join(args, " "), failed)
	}
	if err != nil && complaints.Len() > 0 {
		err = fmt.Errorf("%w\n%s", err, complaints.String())
	}
	return err
}

// listen answers the process until it has no more to say.
func (r *process) listen(out io.Reader) error {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for rounds := int64(0); lines.Scan(); {
		var line said
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("node says %q: %w", lines.Text(), err)
		}
		switch {
		case line.Problem != "":
			return fmt.Errorf("%s", line.Problem)
		case line.Ack:
			r.acks <- struct{}{}
		case line.Need > 0:
			steps := workload.Batch(line.Need, line.Prefix, r.p.Features)
			if err := r.tell(map[string]any{"batch": steps}); err != nil {
				return fmt.Errorf("batch for node: %w", err)
			}
		default:
			for ; rounds < line.Rounds; rounds++ {
				r.p.Round()
			}
		}
	}
	return lines.Err()
}
