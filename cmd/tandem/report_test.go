package main

import (
	"encoding/json"
	"strings"
	"testing"

	"tandem/internal/report"
	"tandem/internal/status"
)

func TestReportInEachForm(t *testing.T) {
	s := status.New()
	s.Phase = status.Backfill
	url := serveAdmin(t, &fakeMigration{status: s}, "")
	code, stdout, stderr := tandem(t, nil, "report", "--admin", url)
	if code != exitDone || stderr != "" {
		t.Errorf("%d %q", code, stderr)
	}
	expectParts(t, "the text", stdout, "result     The migration is not done.\n", "source     old:6379\n")

	code, stdout, _ = tandem(t, nil, "report", "--json", "--admin", url)
	var r report.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitDone || r.Phase != status.Backfill || strings.Count(stdout, "\n") != 1 {
		t.Errorf("%d %q: %v", code, stdout, err)
	}

	code, stdout, _ = tandem(t, nil, "report", "--html", "--admin", url)
	if code != exitDone || !strings.HasPrefix(stdout, "<!doctype html>") {
		t.Errorf("%d %.100q", code, stdout)
	}

	if code, _, stderr = tandem(t, nil, "report", "--html", "--json", "--admin", url); code != exitUsage || !strings.Contains(stderr, "cannot both be had") {
		t.Errorf("%d %q", code, stderr)
	}
}
