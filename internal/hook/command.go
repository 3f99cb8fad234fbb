package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// maxSaid is how much of what a command prints is kept, for the log.
const maxSaid = 1024

// killWait is how long a command that was ended may hold its output open.
const killWait = time.Second

// command runs a program with a message on its stdin, and ends it, with all that it has started, when ctx ends. It is
// run as it is, by no shell. Of the environment it gets all but Tandem's own settings, which may be passwords.
func command(ctx context.Context, line []string, body []byte) error {
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Stdin = bytes.NewReader(body)
	said := new(beginning)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.WaitDelay = killWait
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TANDEM_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	ownGroup(cmd)
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil && cmd.ProcessState.Success():
		return nil // it has done its work; what it left behind holds its output
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return finalError{fmt.Errorf("it cannot be run: %w", err)}
	case ctx.Err() != nil:
		return fmt.Errorf("it took too long and was ended: %w", err)
	case len(said.kept) > 0:
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(said.kept))
	}
	return err
}

// beginning keeps the first of what is written to it.
type beginning struct{ kept []byte }

func (b *beginning) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p[:min(len(p), maxSaid-len(b.kept))]...)
	return len(p), nil
}
