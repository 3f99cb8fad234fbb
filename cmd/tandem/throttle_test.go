package main

import (
	"testing"

	"tandem/internal/admin"
	"tandem/internal/status"
)

func TestThrottleCommand(t *testing.T) {
	s := status.New()
	s.Throttle = status.ThrottleStatus{KeysPerS: status.Known[int64](5000), WindowBytes: 16 << 20, Workers: 4, Changed: true,
		Window: status.WindowClosed, WindowUntil: status.Known[int64](0)}
	for _, c := range []struct {
		name  string
		args  []string
		err   error
		code  int
		asked string
		out   []string
		said  []string
	}{
		{"it shows", nil, nil, 0, "throttle {}", []string{"at most 5,000 keys/s, any number of bytes; 16.0 MiB between the servers, 4 workers",
			"outside of the windows of the day, until", "a restart takes it back"}, nil},
		{"it changes", []string{"--keys", "0", "--bytes", "20MiB", "--in-flight", "1MiB", "--workers", "7", "--windows", "off", "--governor", "on"}, nil, 0,
			`throttle {"max_keys_per_s":0,"max_bytes_per_s":20971520,"window_bytes":1048576,"workers":7,"windows":false,"governor":true}`, nil, nil},
		{"as JSON", []string{"--json"}, nil, 0, "throttle {}", []string{`"keys_per_s":5000,"bytes_per_s":null`}, nil},
		{"no size", []string{"--bytes", "much"}, nil, exitUsage, "", nil, []string{"--bytes", "is not a size"}},
		{"neither on nor off", []string{"--windows", "yes"}, nil, exitUsage, "", nil, []string{"--windows", "on or off"}},
		{"what the server does not take", []string{"--keys", "-1"}, admin.ErrInvalid, exitUsage, `throttle {"max_keys_per_s":-1}`, nil, []string{"not a value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := &fakeMigration{status: s, err: c.err}
			url := serveAdmin(t, m, "")
			code, out, said := tandem(t, nil, append([]string{"throttle", "--admin", url}, c.args...)...)
			if code != c.code {
				t.Errorf("exit status %d, want %d: %s", code, c.code, said)
			}
			if asked := append(m.asked, "")[0]; asked != c.asked {
				t.Errorf("asked %s, want %s", asked, c.asked)
			}
			expectParts(t, "stdout", out, c.out...)
			expectParts(t, "stderr", said, c.said...)
		})
	}
}
