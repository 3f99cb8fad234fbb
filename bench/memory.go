package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tandem/internal/demo/child"
)

// What tandem's memory is measured with.
const (
	memoryIdle     = "nothing"
	memorySessions = "idle sessions"
	memoryBusy     = "busy sessions"
)

const (
	idleSessions = 10_000
	busySessions = 1_000
)

// benchMemory measures the resident memory of a tandem without clients, with many that ask nothing, and, another one,
// with many that write.
func benchMemory(ctx context.Context, log *slog.Logger, root string, o options, into *results) error {
	if !o.has("memory") {
		return nil
	}
	idle, busy := idleSessions, busySessions
	if o.Quick {
		idle, busy = idle/10, busy/10
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && files.Cur < uint64(idle)+200 {
		return fmt.Errorf("%d sessions need more open files than %d (ulimit -n %d; or leave memory out by --only)", idle, files.Cur, 2*idle)
	}
	f, err := newFleet(root, o.tandem)
	if err != nil {
		return err
	}
	defer f.stop()
	for round := 1; round <= o.Rounds; round++ {
		for _, measure := range []func() error{
			func() error { return f.idleMemory(ctx, log, round, idle, into) },
			func() error { return f.busyMemory(ctx, log, round, busy, o, into) },
		} {
			if err := measure(); ctx.Err() != nil {
				return ctx.Err()
			} else if err != nil {
				into.fail(log, "memory", round, err)
			}
		}
	}
	inTheOrder([]string{memoryIdle, memorySessions, memoryBusy}, into.Measured, "memory")
	return nil
}

// emptyPair is a tandem in dual write between two empty servers. The function it returns ends all three.
func (f *fleet) emptyPair(ctx context.Context) (*drain, func() error, error) {
	source, target, err := f.pair()
	if err != nil {
		return nil, nil, err
	}
	_, drain, err := f.dualWrite(ctx, "memory", source, target)
	if err != nil {
		return nil, nil, err
	}
	return drain, func() error {
		defer target.Stop()
		defer source.Stop()
		return drain.proxy.Stop()
	}, nil
}

func (f *fleet) idleMemory(ctx context.Context, log *slog.Logger, round, sessions int, into *results) (err error) {
	pair, stop, err := f.emptyPair(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	nothing, err := resident(pair.proxy.PID())
	if err != nil {
		return err
	}
	into.measured(log, "memory", memoryIdle, round, map[string]float64{"sessions": 0, "MB": megabytes(nothing)})
	held, err := holdSessions(ctx, pair.proxy, sessions)
	defer held.close()
	if err != nil {
		return err
	}
	with, err := resident(pair.proxy.PID())
	if err != nil {
		return err
	}
	into.measured(log, "memory", memorySessions, round, map[string]float64{
		"sessions": float64(sessions), "MB": megabytes(with), "KB/session": float64(with-nothing) / 1024 / float64(sessions),
	})
	return nil
}

func (f *fleet) busyMemory(ctx context.Context, log *slog.Logger, round, sessions int, o options, into *results) (err error) {
	pair, stop, err := f.emptyPair(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	nothing, err := resident(pair.proxy.PID())
	if err != nil {
		return err
	}
	run, err := runApplication(ctx, []string{pair.proxy.Listen}, newWorkload("SET", 1, sessions, usualValue, o.Requests))
	if err != nil {
		return err
	}
	with, err := resident(pair.proxy.PID())
	if err != nil {
		return err
	}
	into.measured(log, "memory", memoryBusy, round, map[string]float64{
		"sessions": float64(sessions), "MB": megabytes(with), "KB/session": float64(with-nothing) / 1024 / float64(sessions),
		"requests/s": run.RPS,
	})
	return pair.wait(ctx)
}

// sessions are connections that are only held.
type sessions []net.Conn

func (s sessions) close() {
	for _, conn := range s {
		conn.Close()
	}
}

// holdSessions opens so many sessions, each of which has been answered once.
func holdSessions(ctx context.Context, p *child.Proxy, count int) (sessions, error) {
	held := make(sessions, 0, count)
	for range count {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.Listen)
		if err != nil {
			return held, fmt.Errorf("session %d: %w", len(held)+1, err)
		}
		held = append(held, conn)
		if _, err := io.WriteString(conn, "*1\r\n$4\r\nPING\r\n"); err != nil {
			return held, fmt.Errorf("session %d: %w", len(held), err)
		}
		answer := make([]byte, len("+PONG\r\n"))
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "+PONG\r\n" {
			return held, fmt.Errorf("session %d was answered %q: %w", len(held), answer, err)
		}
	}
	return held, nil
}

// resident is the resident memory of a process in bytes, files that it has mapped included.
func resident(pid int) (int64, error) { return memoryOf(pid, "VmRSS") }

// forgetPeak has the peak of a process, VmHWM, begin anew.
func forgetPeak(pid int) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("peak memory of process %d: %w", pid, err)
	}
	return nil
}

func peak(pid int) (int64, error) { return memoryOf(pid, "VmHWM") }

func memoryOf(pid int, field string) (int64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if name != field {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("memory of process %d: %w", pid, err)
		}
		return kb << 10, nil
	}
	return 0, fmt.Errorf("memory of process %d: it has no %s", pid, field)
}

func megabytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }
