package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"strconv"
	"time"
)

// clockTick is the unit of the CPU times in /proc/PID/stat: USER_HZ, which Linux fixes at 100 for user
// space whatever the kernel was built with. A run must last seconds for 10 ms to be precise enough.
const clockTick = time.Second / 100

// cpuTime is the CPU time a process has used since it began, user and system together, all its threads,
// living and ended.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
	}
	ticks, err := parseStatTicks(stat)
	if err != nil {
		return 0, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ticks) * clockTick, nil
}

// parseStatTicks adds utime and stime, the 14th and 15th field of a stat line. The second field is the
// program's name in parentheses and may hold spaces and parentheses itself, so counting starts behind the
// last one, where the third field is.
func parseStatTicks(stat []byte) (int64, error) {
	end := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[end+1:])
	if end < 0 || len(fields) < 13 {
		return 0, fmt.Errorf("not a stat line: %q", stat)
	}
	var sum int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("not a tick count: %q", f)
		}
		sum += n
	}
	return sum, nil
}

// cpuMeter takes the CPU times of the processes of an arrangement before a run and gives what the run used.
type cpuMeter struct {
	pids  map[string]int
	start map[string]time.Duration
}

// meterCPU starts a meter over role → process id.
func meterCPU(pids map[string]int) (*cpuMeter, error) {
	start, err := cpuTimes(pids)
	if err != nil {
		return nil, err
	}
	return &cpuMeter{pids: maps.Clone(pids), start: start}, nil
}

// used is the CPU time of each role since the meter was started.
func (m *cpuMeter) used() (map[string]time.Duration, error) {
	now, err := cpuTimes(m.pids)
	if err != nil {
		return nil, err
	}
	for role := range now {
		now[role] -= m.start[role]
	}
	return now, nil
}

func cpuTimes(pids map[string]int) (map[string]time.Duration, error) {
	times := make(map[string]time.Duration, len(pids))
	for role, pid := range pids {
		t, err := cpuTime(pid)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", role, err)
		}
		times[role] = t
	}
	return times, nil
}
